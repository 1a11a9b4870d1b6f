#include "keeper/spool.h"

#include <gtest/gtest.h>

namespace thole::keeper {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

TEST(Spool, StaysWithinItsCapWhateverIsWritten) {
    std::uint64_t punched = 0;
    for (std::uint64_t size = 0; size < 1000 * kMiB; size += 7 * kMiB + 13) {
        const SpoolWork work = plan_spool(size, punched, 0);
        if (work.punch_to > 0) {
            EXPECT_GT(work.punch_to, punched);
            punched = work.punch_to;
        }
        EXPECT_LE(size - punched, kSpoolBytesMax);
        EXPECT_EQ(punched % 4096, 0U);
    }
    EXPECT_GT(punched, 900 * kMiB);
}

TEST(Spool, ASmallOneIsLeftAlone) {
    EXPECT_EQ(plan_spool(10 * kMiB, 0, 11 * kMiB).punch_to, 0U);
    EXPECT_FALSE(plan_spool(10 * kMiB, 0, 0).start_again);
}

TEST(Spool, KeepsRoomAheadOfTheEnd) {
    EXPECT_EQ(plan_spool(0, 0, 0).allocate_to, kSpoolAheadBytes);
    EXPECT_EQ(plan_spool(1000, 0, kSpoolAheadBytes).allocate_to, 0U);
    EXPECT_EQ(plan_spool(200'000, 0, kSpoolAheadBytes).allocate_to, 200'000 + kSpoolAheadBytes);
}

// Programs that truncate their own output leave a file shorter than what was already punched out of
// it.
TEST(Spool, ATruncatedFileIsNotTakenForAnEndlessOne) {
    const SpoolWork work = plan_spool(1 * kMiB, 500 * kMiB, 600 * kMiB);
    EXPECT_EQ(work.punch_to, 0U);
    EXPECT_EQ(work.allocate_to, 1 * kMiB + kSpoolAheadBytes);
}

TEST(Spool, OffsetsDoNotGrowForEver) {
    EXPECT_TRUE(plan_spool(kSpoolRestartBytes + 1, kSpoolRestartBytes, 0).start_again);
}

// A file system on which the front cannot be freed must not fill with what one service prints.
TEST(Spool, WithoutHolesItIsEmptiedBeyondItsCap) {
    EXPECT_FALSE(plan_spool(kSpoolBytesMax, 0, 0, Holes::Unknown).start_again);
    EXPECT_TRUE(plan_spool(kSpoolBytesMax + 1, 0, 0, Holes::Unknown).start_again);
    EXPECT_FALSE(plan_spool(kSpoolBytesMax + 1, 0, 0, Holes::Known).start_again);
}

}  // namespace
}  // namespace thole::keeper
