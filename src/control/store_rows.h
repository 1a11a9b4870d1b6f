// Rows into statements and back. Strict on the way back: a number that its member cannot hold is
// damage, not something to round.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "control/statement.h"
#include "control/store_tables.h"

namespace thole::control {

// What writes a change, whether the row is there or not: a batch may come twice.
template <typename Row>
std::string sql_to_write() {
    using Table = TableOf<Row>;
    if constexpr (requires { Table::kWrite; }) {
        return Table::kWrite;
    } else {
        std::string marks = "?";
        for (std::size_t i = 1; i < std::tuple_size_v<decltype(Table::kMembers)>; ++i)
            marks += ", ?";
        return std::string("INSERT OR REPLACE INTO ") + Table::kName + "(" + Table::kColumns +
               ") VALUES(" + marks + ")";
    }
}

template <typename Member>
void bind_member(Statement& statement, const Member& member) {
    if constexpr (std::is_same_v<Member, std::string>) {
        statement.bind(member);
    } else if constexpr (std::is_same_v<Member, WallTime>) {
        statement.bind(nanoseconds_of(member));
    } else {
        statement.bind(static_cast<std::int64_t>(member));
    }
}

inline bool take_member(Statement& statement, std::string& member) {
    member = statement.text();
    return true;
}
inline bool take_member(Statement& statement, WallTime& member) {
    member = wall_from_nanoseconds(statement.integer());
    return true;
}
inline bool take_member(Statement& statement, model::ReleaseStatus& member) {
    const std::int64_t number = statement.integer();
    member = static_cast<model::ReleaseStatus>(number);
    return number >= 1 && number <= static_cast<std::int64_t>(model::ReleaseStatus::Removed);
}
inline bool take_member(Statement& statement, bool& member) {
    const std::int64_t number = statement.integer();
    member = number == 1;
    return number == 0 || number == 1;
}
template <typename Integer>
bool take_member(Statement& statement, Integer& member) {
    const std::int64_t number = statement.integer();
    member = static_cast<Integer>(number);
    return std::in_range<Integer>(number);
}

template <typename Row>
void bind_row(Statement& statement, const Row& row) {
    std::apply([&](auto... member) { (bind_member(statement, row.*member), ...); },
               TableOf<Row>::kMembers);
}

// False where the row cannot be one of ours.
template <typename Row>
bool take_row(Statement& statement, Row& row) {
    return std::apply([&](auto... member) { return (take_member(statement, row.*member) && ...); },
                      TableOf<Row>::kMembers);
}

}  // namespace thole::control
