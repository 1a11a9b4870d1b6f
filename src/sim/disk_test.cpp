// What a disk keeps, what it loses, and whole folders on it.
#include <gtest/gtest.h>

#include <set>

#include "sim/host.h"

namespace thole::sim {
namespace {

using env::Durability;
using env::OpenMode;

std::string content_of(SimEnv& sim, const std::string& path) {
    return sim.host().process("reader").env().files.read(path, 1'000'000).value_or("(none)");
}

TEST(SimFilesTest, FilesBehaveAsOnLinux) {
    SimEnv sim(1);
    env::Files& files = sim.env().files;
    ASSERT_TRUE(files.make_folder("/a/b", 0700).ok());
    ASSERT_TRUE(files.replace("/a/b/file", "one", Durability::Synced, 0600).ok());
    ASSERT_TRUE(files.replace("/a/b/file", "two", Durability::None, 0600).ok());
    EXPECT_EQ(files.read("/a/b/file", 100).value(), "two");
    EXPECT_EQ(files.read("/a/b/file", 2).error().code, Code::Overload);
    EXPECT_EQ(files.read("/a/none", 2).error().code, Code::NotFound);
    EXPECT_EQ(files.open("/none/file", OpenMode::Create).error().code, Code::NotFound);
    EXPECT_EQ(files.open("/a/b", OpenMode::Read).error().code, Code::Invalid);
    EXPECT_EQ(files.remove("/a").error().code, Code::Conflict);
    const std::vector<env::FileInfo> found = files.list("/a/b").value();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].name, "file");
    EXPECT_EQ(found[0].size_bytes, 3U);
    EXPECT_TRUE(files.remove("/a/b/file").ok());
    EXPECT_TRUE(files.remove("/a/b/file").ok());
    EXPECT_FALSE(files.exists("/a/b/file"));
}

TEST(SimFilesTest, AnOpenFileIsReadAndWrittenAnywhereAndOutlivesItsName) {
    SimEnv sim(1);
    const std::unique_ptr<env::File> file = sim.env().files.open("/file", OpenMode::Create).value();
    ASSERT_TRUE(file->write_at(4, "abc").ok());
    char bytes[8] = {};
    EXPECT_EQ(file->read_at(2, bytes, sizeof(bytes)).value(), 5U);
    EXPECT_EQ(std::string_view(bytes, 5), std::string_view("\0\0abc", 5));
    EXPECT_EQ(file->read_at(7, bytes, 1).value(), 0U);
    ASSERT_TRUE(sim.env().files.remove("/file").ok());
    ASSERT_TRUE(file->truncate(5).ok());
    EXPECT_EQ(file->size().value(), 5U);
    EXPECT_FALSE(sim.env().files.open("/file", OpenMode::ReadWrite).ok());
}

TEST(SimFilesTest, AFileThatWasOpenedForReadingIsNotWritten) {
    SimEnv sim(1);
    ASSERT_TRUE(sim.env().files.replace("/file", "x", Durability::None, 0600).ok());
    const std::unique_ptr<env::File> file = sim.env().files.open("/file", OpenMode::Read).value();
    EXPECT_FALSE(file->write_at(0, "y").ok());
    EXPECT_FALSE(file->truncate(0).ok());
}

TEST(SimDiskTest, WhatWasSyncedOutlivesAPowerCut) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        SimEnv sim(seed);
        env::Files& files = sim.env().files;
        ASSERT_TRUE(files.make_folder("/a", 0700).ok());
        ASSERT_TRUE(files.sync_folder("/").ok());
        ASSERT_TRUE(files.replace("/a/file", "kept", Durability::Synced, 0600).ok());
        sim.host().power_cut();
        EXPECT_EQ(content_of(sim, "/a/file"), "kept");
    }
}

TEST(SimDiskTest, ANameThatWasNotSyncedMayVanishInAPowerCut) {
    std::set<std::string> found;
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
        SimEnv sim(seed);
        const std::unique_ptr<env::File> file =
            sim.env().files.open("/file", OpenMode::Create).value();
        ASSERT_TRUE(file->write_at(0, "kept").ok());
        ASSERT_TRUE(file->sync().ok());
        sim.host().power_cut();
        found.insert(content_of(sim, "/file"));
    }
    EXPECT_EQ(found, (std::set<std::string>{"(none)", "kept"}));
}

// A replace without a sync is the old file, the new, or a torn new one; never a mixture of names.
TEST(SimDiskTest, UnsyncedContentIsLostKeptOrTornBySectors) {
    bool is_old = false;
    bool is_new = false;
    bool is_torn = false;
    const std::string before(2048, 'a');
    const std::string after(2048, 'b');
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        SimEnv sim(seed);
        env::Files& files = sim.env().files;
        ASSERT_TRUE(files.replace("/file", before, Durability::Synced, 0600).ok());
        const std::unique_ptr<env::File> file = files.open("/file", OpenMode::ReadWrite).value();
        ASSERT_TRUE(file->write_at(0, after).ok());
        EXPECT_EQ(files.read("/file", 4096).value(), after);
        sim.host().power_cut();
        const std::string left = content_of(sim, "/file");
        ASSERT_EQ(left.size(), 2048U);
        for (std::size_t sector = 0; sector < 2048; sector += 512)
            EXPECT_EQ(left.substr(sector, 512), std::string(512, left[sector]));
        is_old |= left == before;
        is_new |= left == after;
        is_torn |= left != before && left != after;
    }
    EXPECT_TRUE(is_old && is_new && is_torn);
}

// What follows a failed sync cannot be trusted: a later sync that succeeds brings nothing back.
TEST(SimDiskTest, AFailedSyncIsFinal) {
    std::set<std::string> found;
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        SimEnv sim(seed);
        env::Files& files = sim.env().files;
        ASSERT_TRUE(files.replace("/file", "old", Durability::Synced, 0600).ok());
        const std::unique_ptr<env::File> file = files.open("/file", OpenMode::ReadWrite).value();
        ASSERT_TRUE(file->write_at(0, "new").ok());
        sim.disk().inject({.on = FaultOn::Sync});
        EXPECT_EQ(file->sync().error().code, Code::Unavailable);
        EXPECT_TRUE(file->sync().ok());
        EXPECT_EQ(files.read("/file", 10).value(), "new");
        sim.host().power_cut();
        found.insert(content_of(sim, "/file"));
    }
    EXPECT_EQ(found, (std::set<std::string>{"old", "new"}));
}

TEST(SimDiskTest, TheOperationThatIsToFailFailsAndNoOther) {
    SimEnv sim(1);
    env::Files& files = sim.env().files;
    sim.disk().inject({.on = FaultOn::Write, .after = 1, .count = 2, .error = EACCES});
    EXPECT_TRUE(files.make_folder("/a", 0700).ok());
    EXPECT_TRUE(files.list("/").ok());
    EXPECT_EQ(files.make_folder("/b", 0700).error().code, Code::Denied);
    EXPECT_FALSE(files.make_folder("/c", 0700).ok());
    EXPECT_TRUE(files.make_folder("/d", 0700).ok());
    sim.disk().inject({.count = 100});
    EXPECT_FALSE(files.list("/").ok());
    sim.disk().heal();
    EXPECT_EQ(files.list("/").value().size(), 2U);
}

// As a test of a store does: each operation fails once, and the old file stays or the new one is.
TEST(SimDiskTest, AReplaceThatFailsAtAnyOperationLeavesTheOldFileOrTheNew) {
    bool succeeded = false;
    for (std::uint64_t after = 0; !succeeded; ++after) {
        ASSERT_LT(after, 20U);
        SimEnv sim(after);
        env::Files& files = sim.env().files;
        ASSERT_TRUE(files.replace("/file", "old", Durability::Synced, 0600).ok());
        sim.disk().inject({.after = after});
        succeeded = files.replace("/file", "new", Durability::Synced, 0600).ok();
        sim.disk().heal();
        const std::string left = files.read("/file", 10).value();
        EXPECT_TRUE(left == "new" || (!succeeded && left == "old")) << left;
        sim.host().power_cut();
        const std::string kept = content_of(sim, "/file");
        EXPECT_TRUE(kept == "new" || (!succeeded && kept == "old")) << kept;
    }
}

TEST(SimDiskTest, AFullDiskSaysSoAndTakesAgainWhatFits) {
    SimEnv sim(1);
    env::Files& files = sim.env().files;
    ASSERT_TRUE(files.replace("/other", std::string(60, 'x'), Durability::None, 0600).ok());
    sim.disk().set_capacity(100);
    const std::unique_ptr<env::File> file = files.open("/file", OpenMode::Create).value();
    EXPECT_EQ(file->write_at(0, std::string(41, 'x')).error().code, Code::Overload);
    EXPECT_EQ(sim.disk().used_bytes(), 100U);
    EXPECT_TRUE(file->write_at(0, std::string(40, 'y')).ok());
    ASSERT_TRUE(files.remove("/other").ok());
    EXPECT_TRUE(file->write_at(40, std::string(60, 'x')).ok());
}

TEST(SimDiskTest, WhatLiesInMemoryNeverFailsAndIsGoneAfterAPowerCut) {
    SimEnv sim(1);
    sim.disk().mount_tmpfs("/run");
    env::Files& files = sim.env().files;
    ASSERT_TRUE(files.make_folder("/run", 0755).ok());  // Its name is on the disk itself.
    sim.disk().inject({.count = 100});
    sim.disk().set_capacity(0);
    ASSERT_TRUE(files.make_folder("/run/a", 0700).ok());
    ASSERT_TRUE(files.replace("/run/a/file", "one", Durability::Synced, 0600).ok());
    EXPECT_EQ(content_of(sim, "/run/a/file"), "one");
    EXPECT_EQ(sim.disk().used_bytes(), 0U);
    EXPECT_FALSE(files.make_folder("/running", 0700).ok());
    sim.disk().heal();
    sim.disk().sync_all();
    sim.host().power_cut();
    EXPECT_FALSE(sim.host().process("test").env().files.exists("/run/a"));
}

TEST(SimDiskTest, AProcessThatStopsInTheMiddleLeavesWhatItDidUntilThen) {
    SimEnv sim(1);
    env::Files& files = sim.env().files;
    sim.process().stop_writing_after(2);  // The folder, and the sync of its name.
    EXPECT_TRUE(files.make_folder("/a", 0700).ok());
    EXPECT_FALSE(files.make_folder("/b", 0700).ok());
    sim.process().kill();
    EXPECT_EQ(sim.host().process("next").env().files.list("/").value().size(), 1U);
}

TEST(SimTreesTest, ADigestFollowsNamesContentAndWhatIsAddedAndNothingElse) {
    SimEnv sim(1);
    env::Files& files = sim.env().files;
    env::Trees& trees = sim.env().trees;
    ASSERT_TRUE(files.make_folder("/a/sub", 0755).ok());
    ASSERT_TRUE(files.replace("/a/one", "1", Durability::None, 0644).ok());
    ASSERT_TRUE(files.replace("/a/sub/two", "2", Durability::None, 0644).ok());
    const std::string digest = trees.digest("/a", {"one", "sub/two"}, "extra").value();
    EXPECT_EQ(digest.size(), 64U);
    EXPECT_EQ(trees.digest("/a", {"sub/two", "one", "deleted"}, "extra").value(), digest);
    EXPECT_NE(trees.digest("/a", {"one", "sub/two"}, "other").value(), digest);
    EXPECT_NE(trees.digest("/a", {"one"}, "extra").value(), digest);
    ASSERT_TRUE(files.replace("/a/one", "x", Durability::None, 0644).ok());
    EXPECT_NE(trees.digest("/a", {"one", "sub/two"}, "extra").value(), digest);
    EXPECT_EQ(trees.digest("/a", {"../b"}, "").error().code, Code::Invalid);
    EXPECT_EQ(trees.digest("/a", {"/b"}, "").error().code, Code::Invalid);
}

TEST(SimTreesTest, ACopyReplacesWhatWasThereAndOutlivesAPowerCut) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        SimEnv sim(seed);
        env::Files& files = sim.env().files;
        env::Trees& trees = sim.env().trees;
        ASSERT_TRUE(files.make_folder("/a/sub", 0755).ok());
        ASSERT_TRUE(files.make_folder("/data/to/old", 0755).ok());
        ASSERT_TRUE(files.sync_folder("/").ok());
        ASSERT_TRUE(files.replace("/a/sub/two", "22", Durability::None, 0644).ok());
        ASSERT_TRUE(trees.copy({"/a", {"sub/two"}, "/data/to", {}}).ok());
        EXPECT_EQ(trees.bytes_of("/data").value(), 2U);
        EXPECT_FALSE(files.exists("/data/to/old"));
        sim.host().power_cut();
        EXPECT_EQ(content_of(sim, "/data/to/sub/two"), "22");
    }
}

TEST(SimTreesTest, ATreeThatWasSyncedOutlivesAPowerCut) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        SimEnv sim(seed);
        env::Files& files = sim.env().files;
        ASSERT_TRUE(files.make_folder("/tree/a", 0700).ok());
        ASSERT_TRUE(files.replace("/tree/one", "1", Durability::None, 0600).ok());
        ASSERT_TRUE(files.replace("/tree/a/two", "2", Durability::None, 0600).ok());
        ASSERT_TRUE(sim.env().trees.sync("/tree").ok());
        EXPECT_FALSE(sim.env().trees.sync("/none").ok());
        sim.host().power_cut();
        env::Files& after = sim.host().process("test").env().files;
        EXPECT_EQ(after.read("/tree/one", 10).value_or("(none)"), "1") << seed;
        EXPECT_EQ(after.read("/tree/a/two", 10).value_or("(none)"), "2") << seed;
    }
}

TEST(SimTreesTest, ATreeIsMadeAndRemovedWhole) {
    SimEnv sim(1);
    env::Trees& trees = sim.env().trees;
    ASSERT_TRUE(trees.make_owned("/state/shop", {990, 990}, 0700).ok());
    ASSERT_TRUE(sim.env().files.replace("/state/shop/db", "x", Durability::None, 0600).ok());
    EXPECT_TRUE(trees.remove("/state").ok());
    EXPECT_FALSE(sim.env().files.exists("/state"));
    EXPECT_TRUE(trees.remove("/state").ok());
}

}  // namespace
}  // namespace thole::sim
