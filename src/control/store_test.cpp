// The store on a real file system and a real thread.
#include "control/store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "os/linux_env.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kReadMax = 64U << 20U;

class StoreTest : public testing::Test {
protected:
    StoreTest() : linux_(loop_), env_(linux_.env()) {
        char name[] = "/tmp/thole-store-test-XXXXXX";
        folder_ = mkdtemp(name);
        path_ = folder_ + "/state.db";
    }
    ~StoreTest() override {
        store_.reset();
        EXPECT_EQ(system(("rm -rf " + folder_).c_str()), 0);
    }
    template <typename Condition>
    void until(Condition condition) {
        const Time deadline = os::boot_now() + 20s;
        while (!condition() && os::boot_now() < deadline) loop_.turn(100ms);
        ASSERT_TRUE(condition());
    }
    Stored open() {
        store_.reset();
        Result<std::unique_ptr<Store>> opened = Store::open(env_, path_);
        if (!opened) ADD_FAILURE() << opened.error().text();
        if (!opened) return {};
        store_ = std::move(*opened);
        return store_->take_stored();
    }
    void commit(Batch batch) {
        bool is_there = false;
        store_->commit(std::move(batch), [&] { is_there = true; });
        until([&] { return is_there; });
    }
    std::vector<model::TimelineRow> timeline(const TimelineQuery& query) {
        std::vector<model::TimelineRow> rows;
        bool is_read = false;
        store_->read_timeline(query, [&](Result<std::vector<model::TimelineRow>> read) {
            is_read = true;
            if (read) rows = std::move(*read);
        });
        until([&] { return is_read; });
        return rows;
    }
    // With SQLite's own files, as other tools have them.
    void with_sqlite(const char* sql) {
        sqlite3* database = nullptr;
        ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
        EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK);
        EXPECT_EQ(sqlite3_close(database), SQLITE_OK);
    }
    static model::TimelineRow said(std::int64_t sequence, std::string service) {
        return {sequence,      wall_from_nanoseconds(sequence * 1000),
                "deploy done", std::move(service),
                "web-3.2",     "because"};
    }

    os::Loop loop_;
    os::LinuxEnv linux_;
    env::Env& env_;
    std::string folder_;
    std::string path_;
    std::unique_ptr<Store> store_;
};

// A row that control itself wrote and then calls damage would keep it from ever starting again.
TEST_F(StoreTest, EveryStatusOfAReleaseIsReadBack) {
    const std::vector<model::ReleaseStatus> all = {
        model::ReleaseStatus::Staging, model::ReleaseStatus::Built, model::ReleaseStatus::Broken,
        model::ReleaseStatus::Reversed, model::ReleaseStatus::Removed};
    open();
    std::vector<model::ReleaseRow> rows;
    for (const model::ReleaseStatus status : all) {
        const auto number = static_cast<std::uint32_t>(rows.size() + 1);
        rows.push_back({7, number, "sha", 1, status, "why", {}});
        commit({rows.back()});
    }
    store_.reset();
    EXPECT_EQ(open().releases, rows);
}

TEST_F(StoreTest, EveryKindOfRowComesBackAsItWas) {
    EXPECT_EQ(open().timeline_last, 0);
    const model::ManifestRow manifest{3, "/a b", std::string("name: \0x\xff\n", 10), WallTime(5ns)};
    const model::ServiceRow service{7, "web", 1000, 2, 3, -1, 0xffffffff, true};
    const model::ReleaseRow release{7,     2,         "sha", 3, model::ReleaseStatus::Broken,
                                    "why", WallTime()};
    const model::SlotRow slot{9, 7, 12, true};
    const model::IntentRow intent{9, 12, "replaced"};
    const model::ListenerRow listener{1, 7, 0xffffffff, 0x7f000001, 65535};
    const model::NumberRow number{"epoch", -5};
    const model::PauseRow pause{7, false, WallTime(9ns), 30'000'000'000, "root"};
    const model::SharesRow shares{7, -1, 5, "2:10 1:990"};
    commit({manifest, service, release, slot, intent, listener, number, pause, shares,
            said(4, "web")});
    const Stored stored = open();
    EXPECT_EQ(stored.manifests, std::vector{manifest});
    EXPECT_EQ(stored.services, std::vector{service});
    EXPECT_EQ(stored.releases, std::vector{release});
    EXPECT_EQ(stored.slots, std::vector{slot});
    EXPECT_EQ(stored.intents, std::vector{intent});
    EXPECT_EQ(stored.listeners, std::vector{listener});
    EXPECT_EQ(stored.numbers, std::vector{number});
    EXPECT_EQ(stored.pauses, std::vector{pause});
    EXPECT_EQ(stored.shares, std::vector{shares});
    EXPECT_EQ(stored.timeline_last, 4);
    EXPECT_EQ(timeline({}), std::vector{said(4, "web")});
    commit({RemovePause{7}, RemovePause{8}, RemoveShares{7}, RemoveShares{8}});
    const Stored then = open();
    EXPECT_TRUE(then.pauses.empty() && then.shares.empty());
}

TEST_F(StoreTest, AFileOfTheFirstVersionIsTakenOnWithAllThatItHas) {
    open();
    commit({model::SlotRow{2, 1, 8}});
    store_.reset();
    with_sqlite("DROP TABLE pauses; DROP TABLE shares; PRAGMA user_version = 1");
    EXPECT_EQ(open().slots, (std::vector<model::SlotRow>{{2, 1, 8}}));
    const model::PauseRow pause{1, true, WallTime(9ns), 0, "uid 1000"};
    commit({pause});
    EXPECT_EQ(open().pauses, std::vector{pause});
}

TEST_F(StoreTest, ARowReplacesItsOlderSelfAndARemovedOneIsGone) {
    open();
    commit({model::SlotRow{2, 1, 1}, model::SlotRow{1, 1, 1}, model::IntentRow{1, 1, "a"},
            model::IntentRow{1, 2, "b"}, model::ListenerRow{5, 1, 1, 1, 1},
            model::ManifestRow{1, "/a", "x"}, model::ManifestRow{2, "/a", "y"}});
    commit({model::SlotRow{2, 1, 8}, RemoveIntent{1, 1}, RemoveListener{5}, RemoveListener{6},
            RemoveManifest{1}});
    const Stored stored = open();
    EXPECT_EQ(stored.slots, (std::vector<model::SlotRow>{{1, 1, 1}, {2, 1, 8}}));
    EXPECT_EQ(stored.intents, (std::vector<model::IntentRow>{{1, 2, "b"}}));
    EXPECT_TRUE(stored.listeners.empty());
    ASSERT_EQ(stored.manifests.size(), 1U);
    EXPECT_EQ(stored.manifests[0].revision, 2);
}

TEST_F(StoreTest, DoneComesInTheOrderOfTheCallsAndNeverFromInside) {
    open();
    std::vector<std::int64_t> order;
    for (std::int64_t i = 1; i <= 600; ++i)
        store_->commit({model::NumberRow{"n", i}}, [&order, i] { order.push_back(i); });
    store_->commit({}, {});
    EXPECT_TRUE(order.empty());
    until([&] { return order.size() == 600; });
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    EXPECT_EQ(open().numbers.at(0).value, 600);
}

TEST_F(StoreTest, TheTimelineGivesTheNewestAlsoOfWhatIsOnItsWay) {
    open();
    for (std::int64_t i = 1; i <= 40; ++i)
        store_->commit({said(i, i % 2 == 0 ? "web" : "orders")}, [] {});
    const std::vector<model::TimelineRow> rows =
        timeline({.after = 5, .limit = 3, .service = "web"});
    EXPECT_EQ(rows, (std::vector{said(36, "web"), said(38, "web"), said(40, "web")}));
    EXPECT_EQ(timeline({.after = 38, .limit = 100, .service = ""}),
              (std::vector{said(39, "orders"), said(40, "web")}));
    EXPECT_TRUE(timeline({.after = 0, .limit = 0, .service = ""}).empty());
}

// A system that runs for years must not fill the disk with what it once said.
TEST_F(StoreTest, TheTimelineKeepsItsNewestHundredThousandRows) {
    open();
    for (std::int64_t first = 1; first <= 103'000; first += 1000) {
        Batch batch;
        for (std::int64_t i = first; i < first + 1000; ++i) batch.emplace_back(said(i, "web"));
        store_->commit(std::move(batch), {});
    }
    commit({});
    const std::vector<model::TimelineRow> rows =
        timeline({.after = 0, .limit = 200'000, .service = "web"});
    ASSERT_EQ(rows.size(), 100'000U);
    EXPECT_EQ(rows.front().sequence, 3001);
    EXPECT_EQ(open().timeline_last, 103'000);
}

TEST_F(StoreTest, ADestroyedStoreCallsNobody) {
    for (int round = 0; round < 20; ++round) {
        open();
        bool is_called = false;
        bool is_destroyed = false;
        for (int i = 0; i < 3; ++i) {
            store_->commit({model::NumberRow{"n", round}},
                           [&] { is_called = is_called || is_destroyed; });
        }
        store_->read_timeline({}, [&](const auto&) { is_called = is_called || is_destroyed; });
        if (round % 2 == 1) loop_.turn(5ms);
        store_.reset();
        is_destroyed = true;
        bool is_over = false;
        env_.background.run([] {}, [&] { is_over = true; });
        until([&] { return is_over; });
        EXPECT_FALSE(is_called);
    }
}

TEST_F(StoreTest, ACallbackMayDestroyTheStore) {
    open();
    int calls = 0;
    for (int i = 0; i < 5; ++i) {
        store_->commit({model::NumberRow{"n", i}}, [&] {
            if (++calls == 2) store_.reset();
        });
    }
    until([&] { return store_ == nullptr; });
    loop_.turn(20ms);
    EXPECT_EQ(calls, 2);
}

// Opening what is not whole must say so and leave every byte for whoever can mend it.
TEST_F(StoreTest, ADamagedFileIsAnErrorThatHelpsAndIsLeftAsItWas) {
    open();
    Batch batch;
    for (std::int64_t i = 1; i <= 99'000; ++i) batch.emplace_back(said(i, "web"));
    commit(batch);
    commit({});
    store_.reset();
    std::string bytes = env_.files.read(path_, kReadMax).value();
    ASSERT_GT(bytes.size(), 1'000'000U);
    const auto flip = [&](std::size_t from, std::size_t size) {
        std::string changed = bytes;
        for (std::size_t i = from; i < from + size; ++i)
            changed[i] = static_cast<char>(~changed[i]);
        return changed;
    };
    for (const std::string& damaged :
         {flip(0, 16), flip(4096, 64), flip(100 * 4096, 4096), bytes.substr(0, bytes.size() / 2),
          std::string("not a database"), std::string(8192, '\0')}) {
        ASSERT_TRUE(env_.files.remove(path_ + "-wal").ok());
        ASSERT_TRUE(env_.files.replace(path_, damaged, env::Durability::None, 0600).ok());
        const Result<std::unique_ptr<Store>> opened = Store::open(env_, path_);
        ASSERT_FALSE(opened.ok()) << damaged.size();
        EXPECT_EQ(opened.error().code, Code::Corrupt);
        EXPECT_NE(opened.error().message.find(path_), std::string::npos);
        EXPECT_FALSE(opened.error().hint.empty());
        EXPECT_TRUE(env_.files.read(path_, kReadMax).value() == damaged);
    }
}

TEST_F(StoreTest, AFileOfANewerTholeIsLeftAlone) {
    open();
    store_.reset();
    ASSERT_TRUE(env_.files.remove(path_ + "-wal").ok());  // Only a header is in the file itself.
    std::string bytes = env_.files.read(path_, kReadMax).value();
    bytes.replace(60, 4, std::string("\0\0\0\x63", 4));  // user_version
    ASSERT_TRUE(env_.files.replace(path_, bytes, env::Durability::None, 0600).ok());
    const Result<std::unique_ptr<Store>> opened = Store::open(env_, path_);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().message,
              path_ + ": version 99, made by a newer thole; this one knows up to 3");
    EXPECT_NE(opened.error().hint.find("newer"), std::string::npos);
    EXPECT_TRUE(env_.files.read(path_, kReadMax).value() == bytes);
}

// Also: what lies there is plain SQLite, for whoever must look into it with other tools.
TEST_F(StoreTest, ARowThatCannotBeOursIsDamage) {
    open();
    commit({model::ReleaseRow{7, 2, "sha", 3, model::ReleaseStatus::Built, "", {}}});
    store_.reset();
    with_sqlite("UPDATE releases SET status = 9");
    const Result<std::unique_ptr<Store>> opened = Store::open(env_, path_);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().message, path_ + ": damaged: row 1 of releases");
}

TEST_F(StoreTest, ADatabaseOfSomebodyElseIsLeftAlone) {
    with_sqlite("CREATE TABLE theirs(x); INSERT INTO theirs VALUES(1)");
    const std::string bytes = env_.files.read(path_, kReadMax).value();
    const Result<std::unique_ptr<Store>> opened = Store::open(env_, path_);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().code, Code::Conflict);
    EXPECT_FALSE(opened.error().hint.empty());
    EXPECT_TRUE(env_.files.read(path_, kReadMax).value() == bytes);
}

TEST_F(StoreTest, AFileThatCannotBeOpenedNamesItselfAndTheReason) {
    const Result<std::unique_ptr<Store>> opened = Store::open(env_, folder_ + "/none/state.db");
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().message,
              "open " + folder_ + "/none/state.db: No such file or directory");
}

}  // namespace
}  // namespace thole::control
