// How each kind of row lies in its table: the columns in the order of its members. Strict on the
// way back: a number that its member cannot hold is damage, not something to round.
#pragma once

#include <fmt/core.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "control/statement.h"
#include "control/store.h"

namespace thole::control {

template <typename Row>
struct TableOf;

template <>
struct TableOf<model::ManifestRow> {
    using Row = model::ManifestRow;
    static constexpr const char* kName = "manifests";
    static constexpr const char* kKey = "revision";
    static constexpr const char* kColumns = "revision, folder, text, applied";
    static constexpr std::tuple kMembers{&Row::revision, &Row::folder, &Row::text, &Row::applied};
};
template <>
struct TableOf<model::ServiceRow> {
    using Row = model::ServiceRow;
    static constexpr const char* kName = "services";
    static constexpr const char* kKey = "id";
    static constexpr const char* kColumns =
        "id, name, uid, serving, wanted, scale, restart, is_removed";
    static constexpr std::tuple kMembers{&Row::id,      &Row::name,      &Row::uid,
                                         &Row::serving, &Row::wanted,    &Row::scale,
                                         &Row::restart, &Row::is_removed};
};
template <>
struct TableOf<model::ReleaseRow> {
    using Row = model::ReleaseRow;
    static constexpr const char* kName = "releases";
    static constexpr const char* kKey = "service, number";
    static constexpr const char* kColumns =
        "service, number, digest, revision, status, reason, made";
    static constexpr std::tuple kMembers{&Row::service, &Row::number, &Row::digest, &Row::revision,
                                         &Row::status,  &Row::reason, &Row::made};
};
template <>
struct TableOf<model::SlotRow> {
    using Row = model::SlotRow;
    static constexpr const char* kName = "slots";
    static constexpr const char* kKey = "slot";
    static constexpr const char* kColumns = "slot, service, generation";
    static constexpr std::tuple kMembers{&Row::slot, &Row::service, &Row::generation};
};
template <>
struct TableOf<model::IntentRow> {
    using Row = model::IntentRow;
    static constexpr const char* kName = "intents";
    static constexpr const char* kKey = "slot, generation";
    static constexpr const char* kColumns = "slot, generation, reason";
    static constexpr std::tuple kMembers{&Row::slot, &Row::generation, &Row::reason};
};
template <>
struct TableOf<model::ListenerRow> {
    using Row = model::ListenerRow;
    static constexpr const char* kName = "listeners";
    static constexpr const char* kKey = "id";
    static constexpr const char* kColumns = "id, service, caller, address, port";
    static constexpr std::tuple kMembers{&Row::id, &Row::service, &Row::caller, &Row::address,
                                         &Row::port};
};
template <>
struct TableOf<model::TimelineRow> {
    using Row = model::TimelineRow;
    static constexpr const char* kName = "timeline";
    static constexpr const char* kKey = "sequence";
    static constexpr const char* kColumns = "sequence, time, kind, service, instance, text";
    static constexpr std::tuple kMembers{&Row::sequence, &Row::time,     &Row::kind,
                                         &Row::service,  &Row::instance, &Row::text};
};
template <>
struct TableOf<model::NumberRow> {
    using Row = model::NumberRow;
    static constexpr const char* kName = "numbers";
    static constexpr const char* kKey = "name";
    static constexpr const char* kColumns = "name, value";
    static constexpr std::tuple kMembers{&Row::name, &Row::value};
};
template <>
struct TableOf<RemoveIntent> {
    static constexpr const char* kWrite = "DELETE FROM intents WHERE slot = ? AND generation = ?";
    static constexpr std::tuple kMembers{&RemoveIntent::slot, &RemoveIntent::generation};
};
template <>
struct TableOf<RemoveListener> {
    static constexpr const char* kWrite = "DELETE FROM listeners WHERE id = ?";
    static constexpr std::tuple kMembers{&RemoveListener::id};
};

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
        return fmt::format("INSERT OR REPLACE INTO {}({}) VALUES({})", Table::kName,
                           Table::kColumns, marks);
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
    return number >= 1 && number <= static_cast<std::int64_t>(model::ReleaseStatus::Broken);
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
