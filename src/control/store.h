// What control remembers, on disk: SQLite (write-ahead log, synchronous=FULL, exclusive locking)
// over a VFS of our own on env::Files, so that the simulated disk can tear it. One transaction for
// each turn of the loop that changed something; the loop never waits for it.
//
// The loop's thread owns the store. SQLite itself is only touched in env::Background (and in
// open(), before the loop turns). Statements are prepared once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "env/env.h"
#include "model/records.h"

namespace thole::control {

// A row to be there (by its key), or to be gone. Timeline rows are only added.
struct RemoveIntent {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
};
struct RemoveListener {
    std::uint32_t id = 0;
};
struct RemoveManifest {
    std::int64_t revision = 0;
};
struct RemovePause {
    std::uint32_t service = 0;
};
struct RemoveShares {
    std::uint32_t service = 0;
};
using Change =
    std::variant<model::ManifestRow, model::ServiceRow, model::ReleaseRow, model::SlotRow,
                 model::IntentRow, model::ListenerRow, model::TimelineRow, model::NumberRow,
                 model::PauseRow, model::SharesRow, RemoveIntent, RemoveListener, RemoveManifest,
                 RemovePause, RemoveShares>;
using Batch = std::vector<Change>;

// All rows but the timeline, each kind in the order of its key.
struct Stored {
    std::vector<model::ManifestRow> manifests;
    std::vector<model::ServiceRow> services;
    std::vector<model::ReleaseRow> releases;
    std::vector<model::SlotRow> slots;
    std::vector<model::IntentRow> intents;
    std::vector<model::ListenerRow> listeners;
    std::vector<model::NumberRow> numbers;
    std::vector<model::PauseRow> pauses;
    std::vector<model::SharesRow> shares;
    std::int64_t timeline_last = 0;  // Sequence of its newest row.
};

struct TimelineQuery {
    std::int64_t after = 0;     // Only rows of a higher sequence.
    std::int64_t limit = 1000;  // The newest so many of them.
    std::string service = {};   // Empty: all.
};

class Store {
public:
    // Opens or makes `path`, migrates it, reads everything. A file that is damaged is an error that
    // names it and what to try; it is never overwritten.
    static Result<std::unique_ptr<Store>> open(env::Env& env, const std::string& path);
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    // Once, after open().
    Stored take_stored();

    // All of it or nothing, in the order of the calls. `done` comes on the loop: success once it is
    // on the disk. After an error (a full disk, say) the batch is tried again, every second, before
    // any later one: nothing that was said is lost while control lives; `done` comes when it is
    // there. `trouble()` tells of it.
    void commit(Batch batch, std::function<void()> done);
    // Why nothing can be written at the moment; empty while all is well.
    const std::string& trouble() const;
    // Rows in the order of their sequence, those still on their way to the disk included.
    void read_timeline(const TimelineQuery& query,
                       std::function<void(Result<std::vector<model::TimelineRow>>)> done);

private:
    struct Inside;
    explicit Store(std::unique_ptr<Inside> inside);
    std::unique_ptr<Inside> inside_;
};

}  // namespace thole::control
