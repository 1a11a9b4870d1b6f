#include "control/statement.h"

#include <sqlite3.h>

#include "base/check.h"

namespace thole::control {

Statement::~Statement() { sqlite3_finalize(statement_); }

int Statement::prepare(sqlite3* database, const std::string& sql) {
    CHECK(statement_ == nullptr);
    return sqlite3_prepare_v3(database, sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &statement_,
                              nullptr);
}

void Statement::bind(std::int64_t value) {
    CHECK(sqlite3_bind_int64(statement_, next_value_++, value) == SQLITE_OK);
}

void Statement::bind(const std::string& text) {
    CHECK(sqlite3_bind_text64(statement_, next_value_++, text.data(), text.size(), SQLITE_STATIC,
                              SQLITE_UTF8) == SQLITE_OK);
}

int Statement::step() {
    next_column_ = 0;
    return sqlite3_step(statement_);
}

std::int64_t Statement::integer() { return sqlite3_column_int64(statement_, next_column_++); }

std::string Statement::text() {
    const int column = next_column_++;
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    const int size = sqlite3_column_bytes(statement_, column);
    return bytes == nullptr ? std::string() : std::string(bytes, static_cast<std::size_t>(size));
}

void Statement::reset() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
    next_value_ = 1;
}

int Statement::run() {
    const int code = step();
    reset();
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

}  // namespace thole::control
