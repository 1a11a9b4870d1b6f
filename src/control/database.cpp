#include "control/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <array>

#include "control/store_rows.h"
#include "control/store_schema.h"
#include "control/vfs.h"

namespace thole::control {
namespace {

// Pages in the log before they are moved into the database: 4 MiB. Source: SQLite,
// wal_autocheckpoint.
constexpr int kLogPagesMax = 1000;
// A log that grew while it could not be moved shrinks to this again.
constexpr const char* kStoreSettings =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;"
    "PRAGMA journal_size_limit = 8388608;";
constexpr std::size_t kLogBytesMax = 1U << 30U;

int note_log_pages(void* pages, sqlite3*, const char*, int now) {
    *static_cast<int*>(pages) = now;
    return SQLITE_OK;
}

}  // namespace

// Members are destroyed last first: statements, the connection, the VFS.
struct Connection {
    explicit Connection(env::Files& files) : vfs(files) {}
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() {
        statements.reset();
        CHECK(sqlite3_close(sqlite) == SQLITE_OK);
    }

    struct Statements {
        std::array<Statement, std::variant_size_v<Change>> writes;  // By the index of the change.
        Statement begin, commit, trim, timeline, timeline_of_service;
    };

    // SQLite's code of what went wrong first.
    template <std::size_t... index>
    static int prepare_writes(sqlite3* to, Statements& made, std::index_sequence<index...>) {
        int code = SQLITE_OK;
        const auto prepare = [&](Statement& statement, const std::string& sql) {
            if (code == SQLITE_OK) code = statement.prepare(to, sql);
        };
        (prepare(made.writes[index], sql_to_write<std::variant_alternative_t<index, Change>>()),
         ...);
        const std::string select =
            fmt::format("SELECT {} FROM timeline WHERE ", TableOf<model::TimelineRow>::kColumns);
        const char* const newest = "sequence > ? ORDER BY sequence DESC LIMIT ?";
        prepare(made.begin, "BEGIN IMMEDIATE");
        prepare(made.commit, "COMMIT");
        prepare(made.trim, "DELETE FROM timeline WHERE sequence <= ?");
        prepare(made.timeline, select + newest);
        prepare(made.timeline_of_service, select + "service = ? AND " + newest);
        return code;
    }

    Vfs vfs;
    sqlite3* sqlite = nullptr;
    int log_pages = 0;
    std::optional<Statements> statements;
};

Database::Database(env::Files& files, std::string path) : files_(files), path_(std::move(path)) {}
Database::~Database() = default;

void Database::close() { connection_.reset(); }

// --- What went wrong -----------------------------------------------------------------------------

Error Database::damaged(const std::string& what) const {
    return corrupt(path_ + ": damaged: " + what)
        .with_hint(fmt::format("keep a copy of {0} and {0}-wal and put a backup in their place; or "
                               "move both away, and thole begins anew",
                               path_));
}

// An error in the words of whoever knows best: the outside, or SQLite.
Status Database::check(int code) {
    if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW) return success();
    const int kind = code & 0xff;
    std::optional<Error> outside = connection_->vfs.take_error();
    if (kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB) { return damaged(sqlite3_errstr(code)); }
    if (!outside) return unavailable(path_ + ": " + sqlite3_errmsg(connection_->sqlite));
    if (kind == SQLITE_FULL) {
        return std::move(*outside).with_hint("make room; what waits is then written by itself");
    }
    return std::move(*outside);
}

Status Database::run(const char* sql) {
    return check(sqlite3_exec(connection_->sqlite, sql, nullptr, nullptr, nullptr));
}

Result<std::int64_t> Database::number(const std::string& sql) {
    Statement statement;
    TRY(check(statement.prepare(connection_->sqlite, sql)));
    TRY(check(statement.step()));
    return statement.integer();
}

// After a full disk the connection goes on; after anything else it has no say any more.
void Database::give_up_if_lost(int code) {
    if (connection_ == nullptr) return;
    if ((code & 0xff) != SQLITE_FULL || connection_->vfs.has_lost_a_sync()) close();
}

// --- Opening -------------------------------------------------------------------------------------

Status Database::renew_log() {
    const std::string log = path_ + "-wal";
    if (!files_.exists(log)) return success();
    const std::string bytes = TRY(files_.read(log, kLogBytesMax));
    if (bytes.empty()) return success();
    return files_.replace(log, bytes, env::Durability::Synced, 0600);
}

Status Database::connect(Making making, WallTime wall) {
    close();
    connection_ = std::make_unique<Connection>(files_);
    connection_->vfs.set_wall(wall);
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                      (making == Making::Allowed ? SQLITE_OPEN_CREATE : 0);
    TRY(check(sqlite3_open_v2(path_.c_str(), &connection_->sqlite, flags,
                              connection_->vfs.name().c_str())));
    sqlite3_wal_hook(connection_->sqlite, note_log_pages, &connection_->log_pages);
    TRY(check(
        sqlite3_db_config(connection_->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr)));
    TRY(run("PRAGMA locking_mode = EXCLUSIVE"));  // Before the log is looked at: no shared memory.
    TRY(prepare_file());
    connection_->statements.emplace();
    return check(
        Connection::prepare_writes(connection_->sqlite, *connection_->statements,
                                   std::make_index_sequence<std::variant_size_v<Change>>()));
}

// Nothing is written before it is sure that the file is ours and of a version that we know.
Status Database::prepare_file() {
    const std::int64_t version = TRY(number("PRAGMA user_version"));
    if (version > kSchemaVersion || version < 0) {
        return conflict(
                   fmt::format("{}: version {}, made by a newer thole; this one knows up to {}",
                               path_, version, kSchemaVersion))
            .with_hint("run the thole that made it, or a newer one");
    }
    if (version == 0 && TRY(number("SELECT count(*) FROM sqlite_schema")) > 0) {
        return conflict(path_ + ": a database, but not one of thole's")
            .with_hint("move it away: thole makes its own there");
    }
    // Whatever is written now would build on a log that may not be on the disk.
    if (version < kSchemaVersion && stale_log_) return *stale_log_;
    TRY(run(kStoreSettings));
    return migrate(static_cast<int>(version));
}

Status Database::migrate(int version) {
    for (; version < kSchemaVersion; ++version) {
        const std::string step = fmt::format("BEGIN IMMEDIATE; {} PRAGMA user_version = {}; COMMIT",
                                             kSchemaSteps[version], version + 1);
        TRY(run(step.c_str()));
    }
    return success();
}

template <typename Row>
Result<std::vector<Row>> Database::read_rows() {
    using Table = TableOf<Row>;
    Statement statement;
    TRY(check(statement.prepare(
        connection_->sqlite,
        fmt::format("SELECT {} FROM {} ORDER BY {}", Table::kColumns, Table::kName, Table::kKey))));
    std::vector<Row> rows;
    int code = statement.step();
    for (; code == SQLITE_ROW; code = statement.step()) {
        if (!take_row(statement, rows.emplace_back())) {
            return damaged(fmt::format("row {} of {}", rows.size(), Table::kName));
        }
    }
    TRY(check(code));
    return rows;
}

Result<Stored> Database::read_all() {
    Stored stored;
    stored.manifests = TRY(read_rows<model::ManifestRow>());
    stored.services = TRY(read_rows<model::ServiceRow>());
    stored.releases = TRY(read_rows<model::ReleaseRow>());
    stored.slots = TRY(read_rows<model::SlotRow>());
    stored.intents = TRY(read_rows<model::IntentRow>());
    stored.listeners = TRY(read_rows<model::ListenerRow>());
    stored.numbers = TRY(read_rows<model::NumberRow>());
    stored.pauses = TRY(read_rows<model::PauseRow>());
    stored.shares = TRY(read_rows<model::SharesRow>());
    stored.timeline_last = TRY(number("SELECT coalesce(max(sequence), 0) FROM timeline"));
    return stored;
}

Result<Stored> Database::open_first(WallTime wall) {
    // With a full disk it cannot be written anew; what should run must be known all the same.
    if (Status status = renew_log(); !status) stale_log_ = std::move(status).error();
    TRY(connect(Making::Allowed, wall));
    Statement look;
    TRY(check(look.prepare(connection_->sqlite, "PRAGMA quick_check(1)")));
    TRY(check(look.step()));
    if (const std::string found = look.text(); found != "ok") return damaged(found);
    return read_all();
}

// --- At work -------------------------------------------------------------------------------------

Status Database::ready(WallTime wall) {
    if (connection_ != nullptr && !stale_log_) {
        connection_->vfs.set_wall(wall);
        connection_->vfs.take_error();
        return success();
    }
    close();
    TRY(renew_log());
    stale_log_.reset();
    // Somebody may have taken the file away; an empty one in its place would forget everything.
    Status status = connect(Making::Refused, wall);
    if (!status) close();
    return status;
}

Status Database::write(const std::vector<std::shared_ptr<const Batch>>& batches) {
    Connection::Statements& statements = *connection_->statements;
    TRY(check(statements.begin.run()));
    std::int64_t newest = 0;
    for (const std::shared_ptr<const Batch>& batch : batches) {
        for (const Change& change : *batch) {
            Statement& statement = statements.writes[change.index()];
            std::visit([&](const auto& row) { bind_row(statement, row); }, change);
            TRY(check(statement.run()));
            const auto* row = std::get_if<model::TimelineRow>(&change);
            if (row != nullptr) newest = std::max(newest, row->sequence);
        }
    }
    if (newest > kTimelineRowsMax) {
        statements.trim.bind(newest - kTimelineRowsMax);
        TRY(check(statements.trim.run()));
    }
    return check(statements.commit.run());
}

// Moves a long log into the database. Not SQLite's automatic way: that reports a failure as one of
// the commit, which is long on the disk by then.
Status Database::settle() {
    if (connection_->log_pages < kLogPagesMax) return success();
    TRY(check(sqlite3_wal_checkpoint_v2(connection_->sqlite, nullptr, SQLITE_CHECKPOINT_PASSIVE,
                                        nullptr, nullptr)));
    connection_->log_pages = 0;
    return success();
}

Database::Applied Database::apply(const std::vector<std::shared_ptr<const Batch>>& batches,
                                  WallTime wall) {
    if (Status status = ready(wall); !status) return {std::move(status).error(), {}};
    if (!batches.empty()) {
        if (Status status = write(batches); !status) {
            const int code = sqlite3_errcode(connection_->sqlite);
            sqlite3_exec(connection_->sqlite, "ROLLBACK", nullptr, nullptr, nullptr);
            give_up_if_lost(code);
            return {std::move(status).error(), {}};
        }
    }
    if (Status status = settle(); !status) {
        give_up_if_lost(sqlite3_errcode(connection_->sqlite));
        return {{}, std::move(status).error()};
    }
    return {};
}

Result<std::vector<model::TimelineRow>> Database::read_timeline(const TimelineQuery& query,
                                                                WallTime wall) {
    if (connection_ == nullptr) TRY(ready(wall));
    Connection::Statements& statements = *connection_->statements;
    Statement& statement =
        query.service.empty() ? statements.timeline : statements.timeline_of_service;
    if (!query.service.empty()) statement.bind(query.service);
    statement.bind(query.after);
    statement.bind(std::max<std::int64_t>(query.limit, 0));
    std::vector<model::TimelineRow> rows;
    bool is_whole = true;
    int code = statement.step();
    for (; code == SQLITE_ROW && is_whole; code = statement.step())
        is_whole = take_row(statement, rows.emplace_back());
    Status status = check(code);
    statement.reset();
    if (!status) return std::move(status).error();
    if (!is_whole) return damaged("a row of the timeline");
    std::reverse(rows.begin(), rows.end());
    return rows;
}

}  // namespace thole::control
