#include "control/spools.h"

#include <gtest/gtest.h>

namespace thole::control {
namespace {

using Names = std::vector<std::string>;

env::FileInfo spool(std::string name, std::uint64_t mib, int second) {
    return {.name = std::move(name),
            .is_folder = false,
            .size_bytes = mib << 30U,  // With holes.
            .allocated_bytes = mib << 20U,
            .modified = WallTime(std::chrono::seconds(second))};
}

TEST(Spools, AreNamedByServiceAndSlot) {
    EXPECT_EQ(read_spool_name("web-17.out").service, "web");
    EXPECT_EQ(read_spool_name("web-17.out").slot, 17U);
    EXPECT_EQ(read_spool_name("a-b-18.err").service, "a-b");
    EXPECT_EQ(read_spool_name("a-b-18.err").slot, 18U);
    EXPECT_EQ(read_spool_name("web-build.out").slot, 0U);
    EXPECT_EQ(read_spool_name("lost").slot, 0U);
}

TEST(Spools, TheOldestOfAServiceGoOnceAllAreMoreThanTheBound) {
    const std::vector<env::FileInfo> files = {
        spool("web-17.out", 400, 3), spool("web-18.out", 400, 1), spool("web-19.out", 400, 2),
        spool("api-20.out", 900, 0), spool("web-18.err", 100, 4)};
    EXPECT_EQ(spools_to_remove(files, {17, 18, 19, 20}), (Names{"web-18.out"}));
    EXPECT_EQ(spools_to_remove({spool("web-17.out", 1024, 1)}, {17}), Names{});
}

TEST(Spools, WhatIsInUseStaysAndDoesNotCount) {
    const std::vector<env::FileInfo> files = {
        spool("web-17.out", 600, 1), spool("web-18.out", 600, 2), spool("web-build.out", 2000, 0)};
    EXPECT_EQ(spools_to_remove(files, {18}), Names{});
    EXPECT_EQ(spools_to_remove(files, {17, 18}), Names{"web-17.out"});
}

}  // namespace
}  // namespace thole::control
