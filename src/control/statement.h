// One prepared statement of SQLite. Values are bound, and columns read, one after the other.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

struct sqlite3;
struct sqlite3_stmt;

namespace thole::control {

class Statement {
public:
    Statement() = default;
    Statement(Statement&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}
    Statement& operator=(Statement&& other) noexcept {
        std::swap(statement_, other.statement_);
        return *this;
    }
    ~Statement();

    // All codes are SQLite's.
    int prepare(sqlite3* database, const std::string& sql);
    void bind(std::int64_t value);
    // The text stays where it is until reset().
    void bind(const std::string& text);
    // SQLITE_ROW: its columns can be read. SQLITE_DONE: that was all.
    int step();
    std::int64_t integer();
    std::string text();
    // Ready for the next values; a statement that is not at its end holds a transaction open.
    void reset();
    // For what has no rows: steps and resets; SQLITE_OK where it went well.
    int run();

private:
    sqlite3_stmt* statement_ = nullptr;
    int next_value_ = 1;
    int next_column_ = 0;
};

}  // namespace thole::control
