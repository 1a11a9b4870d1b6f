// The store's half that waits for the disk: one connection of SQLite, and what it takes to keep it
// honest. Used by one thread at a time: the loop's in open_first(), Background's after that.
//
// A sync that failed leaves pages in memory that look written and may never be. So a connection
// that lost one is given up, and the log of an earlier connection or life is written anew, as
// another file, before anything builds on it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/store.h"

namespace thole::control {

// The timeline's newest rows are kept: some 15 MB, months of a quiet system.
constexpr std::int64_t kTimelineRowsMax = 100'000;

struct Connection;

class Database {
public:
    Database(env::Files& files, std::string path);
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    // Makes the file where it is absent, migrates it, looks for damage.
    Result<Stored> open_first(WallTime wall);
    // Whether the log of an earlier life could not be written anew: reading goes, writing waits.
    const std::optional<Error>& stale_log() const { return stale_log_; }

    struct Applied {
        std::optional<Error> unwritten;  // Nothing of the batches is there.
        std::optional<Error> unsettled;  // They are, but the log cannot be moved into the database.
    };
    // All batches as one transaction; none at all only mends what is amiss.
    Applied apply(const std::vector<std::shared_ptr<const Batch>>& batches, WallTime wall);
    Result<std::vector<model::TimelineRow>> read_timeline(const TimelineQuery& query,
                                                          WallTime wall);
    // Without writing anything: what is in the log stays there.
    void close();

private:
    enum class Making { Allowed, Refused };
    Status connect(Making making, WallTime wall);
    Status ready(WallTime wall);
    Status renew_log();
    Status prepare_file();
    Status migrate(int version);
    Result<Stored> read_all();
    Status write(const std::vector<std::shared_ptr<const Batch>>& batches);
    Status settle();
    template <typename Row>
    Result<std::vector<Row>> read_rows();
    Result<std::int64_t> number(const std::string& sql);
    Status run(const char* sql);
    Status check(int code);
    Error damaged(const std::string& what) const;
    void give_up_if_lost(int code);

    env::Files& files_;
    std::string path_;
    std::optional<Error> stale_log_;
    std::unique_ptr<Connection> connection_;
};

}  // namespace thole::control
