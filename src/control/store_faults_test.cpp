// The store on a disk that fails, fills up and forgets what was not synced: what `done` was called
// for is there, and the rest is whole batches or nothing.
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "control/store.h"
#include "os/linux_env.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

// A file as programs see it, and as it is on the disk. A sync that fails forgets what it should
// have written but goes on showing it, as Linux does.
struct FaultyNode {
    struct Change {
        std::uint64_t offset;  // kTruncate: to `size`.
        std::string bytes;
        std::uint64_t size;
    };
    static constexpr std::uint64_t kTruncate = ~std::uint64_t{0};
    static void apply(std::string& content, const Change& change) {
        if (change.offset == kTruncate) return content.resize(change.size);
        content.resize(std::max<std::size_t>(content.size(), change.offset + change.bytes.size()));
        content.replace(change.offset, change.bytes.size(), change.bytes);
    }
    void change(Change made) {
        apply(seen, made);
        unsynced.push_back(std::move(made));
    }

    std::string seen;
    std::string synced;
    std::vector<Change> unsynced;
};

enum class PowerCut { ForgetsUnsynced, KeepsSome };

class FaultyDisk final : public env::Files {
public:
    using Names = std::map<std::string, std::shared_ptr<FaultyNode>>;

    // Counts an operation; an error where it is to fail.
    Status step(std::string_view what, const std::string& path) {
        ++operations;
        if (has_no_power_after != 0 && operations > has_no_power_after) return failure(what, path);
        if (operations == fails_at) return failure(what, path);
        return success();
    }
    Status room(const std::string& path) const {
        if (is_full) return overload("write " + path + ": No space left on device");
        return success();
    }
    void cut_power(PowerCut cut, Random& random) {
        names = synced_names;
        for (auto& [name, node] : names) {
            for (FaultyNode::Change& change : node->unsynced) {
                if (cut == PowerCut::ForgetsUnsynced || random.chance(0.5)) continue;
                if (random.chance(0.2)) change.bytes.resize(change.bytes.size() / 2);
                FaultyNode::apply(node->synced, change);
            }
            node->unsynced.clear();
            node->seen = node->synced;
        }
        mend();
    }
    FaultyDisk copy() const {
        FaultyDisk made = *this;
        for (auto& [name, node] : made.names) node = std::make_shared<FaultyNode>(*node);
        made.synced_names = made.names;
        return made;
    }
    void mend() { operations = fails_at = has_no_power_after = 0; }

    Result<std::unique_ptr<env::File>> open(const std::string& path, env::OpenMode mode) override;
    Result<std::string> read(const std::string& path, std::size_t size_max) override {
        TRY(step("read", path));
        if (names.count(path) == 0) return not_found(path);
        if (names[path]->seen.size() > size_max) return overload(path);
        return names[path]->seen;
    }
    Status replace(const std::string& path, std::string_view bytes, env::Durability,
                   std::uint32_t) override {
        const std::shared_ptr<FaultyNode> aside = std::make_shared<FaultyNode>();
        TRY(step("write", path));
        TRY(room(path));
        aside->seen = aside->synced = bytes;
        TRY(step("rename", path));
        names[path] = aside;
        return sync_folder(path);
    }
    Status make_folder(const std::string&, std::uint32_t) override { return success(); }
    Status sync_folder(const std::string& path) override {
        TRY(step("sync folder", path));
        synced_names = names;
        return success();
    }
    Status remove(const std::string& path) override {
        TRY(step("remove", path));
        names.erase(path);
        return success();
    }
    Result<std::vector<env::FileInfo>> list(const std::string&) override {
        return std::vector<env::FileInfo>{};
    }
    bool exists(const std::string& path) override { return names.count(path) != 0; }

    Names names;
    Names synced_names;
    int operations = 0;
    int fails_at = 0;            // This operation, counted from 1.
    int has_no_power_after = 0;  // All later ones fail.
    bool is_full = false;
    bool is_trusted_after_lost_sync = false;  // Somebody went on with a file whose sync failed.

private:
    static Error failure(std::string_view what, const std::string& path) {
        return unavailable(std::string(what) + " " + path + ": the test's fault");
    }
};

class FaultyFile final : public env::File {
public:
    FaultyFile(FaultyDisk& disk, std::shared_ptr<FaultyNode> node, std::string path)
        : disk_(disk), node_(std::move(node)), path_(std::move(path)) {}

    Result<std::size_t> read_at(std::uint64_t offset, char* into, std::size_t size) override {
        TRY(disk_.step("read", path_));
        if (offset >= node_->seen.size()) return std::size_t{0};
        return node_->seen.copy(into, size, offset);
    }
    Status write_at(std::uint64_t offset, std::string_view bytes) override {
        if (is_sync_lost_) disk_.is_trusted_after_lost_sync = true;
        if (Status status = disk_.step("write", path_); !status) {
            node_->change({offset, std::string(bytes.substr(0, bytes.size() / 2)), 0});
            return status;
        }
        TRY(disk_.room(path_));
        node_->change({offset, std::string(bytes), 0});
        return success();
    }
    Status truncate(std::uint64_t size) override {
        TRY(disk_.step("truncate", path_));
        node_->change({FaultyNode::kTruncate, {}, size});
        return success();
    }
    Status sync() override {
        Status status = disk_.step("sync", path_);
        is_sync_lost_ = !status.ok();
        // With the power gone the moment of the cut decides what is left, not this.
        if (!status && disk_.operations != disk_.fails_at) return status;
        if (status) {
            for (const FaultyNode::Change& change : node_->unsynced)
                FaultyNode::apply(node_->synced, change);
        }
        node_->unsynced.clear();
        return status;
    }
    Result<std::uint64_t> size() override {
        TRY(disk_.step("size", path_));
        return std::uint64_t{node_->seen.size()};
    }

private:
    FaultyDisk& disk_;
    std::shared_ptr<FaultyNode> node_;
    std::string path_;
    bool is_sync_lost_ = false;
};

Result<std::unique_ptr<env::File>> FaultyDisk::open(const std::string& path, env::OpenMode mode) {
    TRY(step("open", path));
    std::shared_ptr<FaultyNode>& node = names[path];
    if (node == nullptr && mode != env::OpenMode::Create) {
        names.erase(path);
        return not_found("open " + path + ": No such file or directory");
    }
    if (node == nullptr) node = std::make_shared<FaultyNode>();
    return std::unique_ptr<env::File>(std::make_unique<FaultyFile>(*this, node, path));
}

// A loop of virtual time: what is in the background happens first, then the next timer.
class VirtualLoop final : public env::Clock, public env::Timers, public env::Background {
public:
    Time now() const override { return now_; }
    WallTime wall() const override { return WallTime(now_.time_since_epoch()); }
    void run(std::function<void()> work, std::function<void()> done) override {
        jobs_.emplace_back(std::move(work), std::move(done));
    }
    // False where there is nothing left to do.
    bool turn() {
        if (!jobs_.empty()) {
            const auto [work, done] = std::move(jobs_.front());
            jobs_.pop_front();
            work();
            done();
            return true;
        }
        if (due_.empty()) return false;
        const auto [at, call] = std::move(*due_.begin());
        due_.erase(due_.begin());
        now_ = at.first;
        call();
        return true;
    }

private:
    std::uint64_t add(Duration delay, std::function<void()> call) override {
        due_[{now_ + delay, ++last_}] = std::move(call);
        return last_;
    }
    void remove(std::uint64_t id) override {
        std::erase_if(due_, [&](const auto& due) { return due.first.second == id; });
    }

    Time now_{};
    std::uint64_t last_ = 0;
    std::map<std::pair<Time, std::uint64_t>, std::function<void()>> due_;
    std::deque<std::pair<std::function<void()>, std::function<void()>>> jobs_;
};

constexpr int kScriptBatches = 20;

// Batch i of the script, from 1: each replaces, adds and removes something of the one before.
Batch script_batch(int i) {
    const auto number = static_cast<std::uint32_t>(i);
    const std::string text(static_cast<std::size_t>(i * 97 % 700), static_cast<char>('a' + i % 26));
    return {model::SlotRow{number % 4, 1, number}, model::IntentRow{number % 4, number, text},
            RemoveIntent{(number - 1) % 4, number - 1},
            model::TimelineRow{i, wall_from_nanoseconds(i), "instance ready", "web", "", text},
            model::NumberRow{"count", i}};
}

// The rows after the first `count` batches.
Stored script_rows(int count) {
    Stored rows;
    std::map<std::uint32_t, model::SlotRow> slots;
    for (int i = 1; i <= count; ++i) {
        const Batch batch = script_batch(i);
        const auto& slot = std::get<model::SlotRow>(batch[0]);
        slots[slot.slot] = slot;
        rows.intents = {std::get<model::IntentRow>(batch[1])};
        rows.numbers = {std::get<model::NumberRow>(batch[4])};
        rows.timeline_last = i;
    }
    for (const auto& [slot, row] : slots) rows.slots.push_back(row);
    return rows;
}

int script_count(const Stored& stored) {
    return stored.numbers.empty() ? 0 : static_cast<int>(stored.numbers[0].value);
}

void expect_whole_batches(const Stored& stored) {
    const Stored expected = script_rows(script_count(stored));
    EXPECT_EQ(stored.slots, expected.slots);
    EXPECT_EQ(stored.intents, expected.intents);
    EXPECT_EQ(stored.numbers, expected.numbers);
    EXPECT_EQ(stored.timeline_last, expected.timeline_last);
}

class StoreFaultsTest : public testing::Test {
protected:
    StoreFaultsTest() : linux_(real_) {}

    // A life of control: opens, goes on with the script, ends as if killed. Returns how many
    // batches it was told of, or -1 where nothing could be opened.
    int live(int turns_max = 10'000, int fails_after_opening = 0) {
        Result<std::unique_ptr<Store>> store = Store::open(env_, "/state.db");
        if (!store) return -1;
        if (fails_after_opening != 0) disk_.fails_at = disk_.operations + fails_after_opening;
        const Stored stored = (*store)->take_stored();
        expect_whole_batches(stored);
        int told = script_count(stored);
        int last = told;
        for (int turn = 0; turn < turns_max; ++turn) {
            // Two at a time at most, so that some transactions hold one batch and some two.
            while (last < kScriptBatches && last < told + 2) {
                const int i = ++last;
                (*store)->commit(script_batch(i), [&told, i] {
                    EXPECT_EQ(told, i - 1);
                    told = i;
                });
            }
            if (told == kScriptBatches && (*store)->trouble().empty()) break;
            if (!loop_.turn()) break;
        }
        trouble_ = (*store)->trouble();
        EXPECT_FALSE(disk_.is_trusted_after_lost_sync);
        return told;
    }
    // A disk whose log is full but for a few of the script's batches, all of one page.
    FaultyDisk disk_with_a_long_log() {
        Result<std::unique_ptr<Store>> store = Store::open(env_, "/state.db");
        EXPECT_TRUE(store.ok());
        for (std::int64_t i = 1; disk_.names["/state.db-wal"]->seen.size() < 980 * 4120; ++i) {
            (*store)->commit({model::ServiceRow{1, "web", 0, 0, 0, -1, 0, false}}, {});
            loop_.turn();
        }
        (*store)->commit({model::ServiceRow{1, "web", 0, 0, 0, -1, 0, false}}, {});
        while (loop_.turn()) {}
        store->reset();
        return std::move(disk_);
    }
    // What a life without faults finds.
    int count_on_disk() {
        Result<std::unique_ptr<Store>> store = Store::open(env_, "/state.db");
        if (!store) ADD_FAILURE() << store.error().text();
        if (!store) return -1;
        const Stored stored = (*store)->take_stored();
        expect_whole_batches(stored);
        std::vector<model::TimelineRow> rows;
        (*store)->read_timeline({}, [&](Result<std::vector<model::TimelineRow>> read) {
            if (read) rows = std::move(*read);
        });
        while (loop_.turn()) {}
        EXPECT_EQ(rows.size(), static_cast<std::size_t>(script_count(stored)));
        for (const model::TimelineRow& row : rows) {
            const Batch batch = script_batch(static_cast<int>(row.sequence));
            EXPECT_EQ(row, std::get<model::TimelineRow>(batch[3]));
        }
        return script_count(stored);
    }
    // How many operations an undisturbed life takes.
    int operations_of_a_life() {
        EXPECT_EQ(live(), kScriptBatches);
        const int operations = disk_.operations;
        disk_ = FaultyDisk();
        EXPECT_GT(operations, 100);
        return operations;
    }

    os::Loop real_;
    os::LinuxEnv linux_;
    VirtualLoop loop_;
    FaultyDisk disk_;
    Random random_{7};
    env::Env env_{loop_,
                  loop_,
                  random_,
                  disk_,
                  linux_.env().network,
                  loop_,
                  loop_,
                  linux_.env().trees,
                  linux_.env().processes};
    std::string trouble_;
};

// A file operation fails once, anywhere: control goes on and all of it arrives. A power cut after
// that must not find that it stood on a page that only memory had.
TEST_F(StoreFaultsTest, AnyOneOperationMayFailAndEverythingArrives) {
    const int operations = operations_of_a_life();
    for (int at = 1; at <= operations; ++at) {
        disk_ = FaultyDisk();
        disk_.fails_at = at;
        int told = live();
        if (told < 0) {
            disk_.mend();
            told = live();
        }
        ASSERT_EQ(told, kScriptBatches) << "operation " << at << ": " << trouble_;
        disk_.cut_power(PowerCut::ForgetsUnsynced, random_);
        ASSERT_EQ(count_on_disk(), kScriptBatches) << "operation " << at;
        if (HasFailure()) FAIL() << "operation " << at;
    }
}

// A sync that failed, then the death of control: the next one sees pages that the disk may not
// have.
TEST_F(StoreFaultsTest, ALifeAfterAFailedSyncDoesNotTrustTheLog) {
    const int operations = operations_of_a_life();
    for (int at = 1; at <= operations; ++at) {
        disk_ = FaultyDisk();
        disk_.fails_at = at;
        const int told_before = std::max(live(12 + at % 7), 0);
        disk_.mend();
        // Every other time the first try at a log that can be trusted fails, too.
        disk_.fails_at = at % 2 == 0 ? 2 : 0;
        const int told = std::max(live(5 + at % 11), told_before);
        disk_.cut_power(PowerCut::ForgetsUnsynced, random_);
        ASSERT_GE(count_on_disk(), told) << "operation " << at;
        if (HasFailure()) FAIL() << "operation " << at;
    }
}

TEST_F(StoreFaultsTest, APowerCutAnywhereLeavesWholeBatchesAndAllThatWereTold) {
    const int operations = operations_of_a_life();
    for (const PowerCut cut : {PowerCut::ForgetsUnsynced, PowerCut::KeepsSome}) {
        for (int at = 1; at <= operations; ++at) {
            disk_ = FaultyDisk();
            disk_.has_no_power_after = at;
            const int told = std::max(live(60), 0);
            disk_.cut_power(cut, random_);
            const int found = count_on_disk();
            ASSERT_GE(found, told) << "operation " << at;
            ASSERT_EQ(live(), kScriptBatches) << "operation " << at;
            if (HasFailure()) FAIL() << "operation " << at;
        }
    }
}

TEST_F(StoreFaultsTest, AFullDiskIsSaidAndEverythingArrivesOnceThereIsRoom) {
    Result<std::unique_ptr<Store>> store = Store::open(env_, "/state.db");
    ASSERT_TRUE(store.ok());
    disk_.is_full = true;
    int told = 0;
    for (int i = 1; i <= kScriptBatches; ++i) {
        (*store)->commit(script_batch(i), [&told, i] {
            EXPECT_EQ(told, i - 1);
            told = i;
        });
    }
    for (int turn = 0; turn < 20; ++turn) loop_.turn();
    EXPECT_EQ(told, 0);
    EXPECT_NE((*store)->trouble().find("No space left"), std::string::npos);
    EXPECT_NE((*store)->trouble().find("try: "), std::string::npos);
    EXPECT_GE(loop_.now(), Time(5s));
    // What is on its way can be read all the same.
    std::size_t rows = 0;
    (*store)->read_timeline({.after = 3, .limit = 10, .service = "web"},
                            [&](Result<std::vector<model::TimelineRow>> read) {
                                ASSERT_TRUE(read.ok());
                                rows = read->size();
                                EXPECT_EQ(read->back().sequence, kScriptBatches);
                            });
    for (int turn = 0; turn < 3; ++turn) loop_.turn();
    EXPECT_EQ(rows, 10U);
    disk_.is_full = false;
    while (loop_.turn()) {}
    EXPECT_EQ(told, kScriptBatches);
    EXPECT_EQ((*store)->trouble(), "");
    store->reset();
    disk_.cut_power(PowerCut::ForgetsUnsynced, random_);
    EXPECT_EQ(count_on_disk(), kScriptBatches);
}

// What should run must be known even where nothing can be written.
TEST_F(StoreFaultsTest, AFullDiskAtTheStartStillTellsWhatWasStored) {
    ASSERT_EQ(live(), kScriptBatches);
    disk_.is_full = true;
    Result<std::unique_ptr<Store>> store = Store::open(env_, "/state.db");
    ASSERT_TRUE(store.ok()) << store.error().text();
    EXPECT_EQ(script_count((*store)->take_stored()), kScriptBatches);
    EXPECT_NE((*store)->trouble().find("No space left"), std::string::npos);
    bool is_told = false;
    (*store)->commit({model::NumberRow{"more", 1}}, [&] { is_told = true; });
    for (int turn = 0; turn < 6; ++turn) loop_.turn();
    EXPECT_FALSE(is_told);
    disk_.is_full = false;
    while (loop_.turn()) {}
    EXPECT_TRUE(is_told);
    EXPECT_EQ((*store)->trouble(), "");
}

// The database cannot grow but the log has room: nothing waits for ever, and the trouble is said.
TEST_F(StoreFaultsTest, ALongLogIsMovedAndItsTroubleDoesNotHoldBatchesUp) {
    Result<std::unique_ptr<Store>> store = Store::open(env_, "/state.db");
    ASSERT_TRUE(store.ok());
    std::int64_t told = 0;
    bool was_in_trouble = false;
    for (std::int64_t i = 1; i <= 400; ++i) {
        (*store)->commit({model::ManifestRow{i, "/", std::string(20'000, 'm'), {}}},
                         [&told, i] { told = i; });
        if (i == 150) disk_.fails_at = disk_.operations + 400;
        while (told < i || !(*store)->trouble().empty()) {
            was_in_trouble = was_in_trouble || !(*store)->trouble().empty();
            ASSERT_TRUE(loop_.turn());
        }
    }
    EXPECT_TRUE(was_in_trouble);
    EXPECT_LT(disk_.names["/state.db-wal"]->seen.size(), 6U * 1024 * 1024);
    EXPECT_GT(disk_.names["/state.db"]->seen.size(), 4U * 1024 * 1024);
    store->reset();
    disk_.cut_power(PowerCut::ForgetsUnsynced, random_);
    store = Store::open(env_, "/state.db");
    ASSERT_TRUE(store.ok());
    EXPECT_EQ((*store)->take_stored().manifests.size(), 400U);
}

// Moving the log into the database is many steps between two commits; each may be the one that
// fails.
TEST_F(StoreFaultsTest, TheLogMayFailToMoveAtAnyOperation) {
    const FaultyDisk before = disk_with_a_long_log();
    for (int at = 1; at <= 150; at += 2) {
        disk_ = before.copy();
        const std::size_t log = disk_.names["/state.db-wal"]->seen.size();
        ASSERT_EQ(live(10'000, at), kScriptBatches) << "operation " << at << ": " << trouble_;
        EXPECT_LT(disk_.names["/state.db-wal"]->seen.size(), log + 60 * 4120);
        disk_.cut_power(PowerCut::KeepsSome, random_);
        ASSERT_EQ(count_on_disk(), kScriptBatches) << "operation " << at;
    }
}

}  // namespace
}  // namespace thole::control
