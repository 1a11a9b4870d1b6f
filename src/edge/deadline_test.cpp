// Deadlines: what is read, what the next hop is told, and who is refused at once.
#include <gtest/gtest.h>

#include <string>

#include "edge/deadline.h"

#include "edge/test_times.h"

namespace thole::edge {
namespace {

template <std::size_t kSize>
std::string text(const std::array<char, kSize>& array) {
    return {array.data(), array.size()};
}

TEST(Deadline, MillisecondsAreReadAndNonsenseIsDropped) {
    EXPECT_EQ(read_timeout_ms("100"), 100 * kMillisecond);
    EXPECT_EQ(read_timeout_ms("0"), 0);
    EXPECT_EQ(read_timeout_ms("00000095"), 95 * kMillisecond);
    EXPECT_EQ(read_timeout_ms("99999999"), 99'999'999 * kMillisecond);
    for (const char* const nonsense : {"", " ", "-1", "+5", "1.5", "1e3", "100ms", "0x10", "100 ",
                                       "123456789", "100, 200", "\xd9\xa1"}) {
        EXPECT_FALSE(read_timeout_ms(nonsense)) << nonsense;
    }
}

TEST(Deadline, WhatGrpcClientsSendIsReadAndNonsenseIsDropped) {
    EXPECT_EQ(read_grpc_timeout("1H"), 3600 * kSecond);
    EXPECT_EQ(read_grpc_timeout("2M"), 120 * kSecond);
    EXPECT_EQ(read_grpc_timeout("3S"), 3 * kSecond);
    EXPECT_EQ(read_grpc_timeout("100m"), 100 * kMillisecond);
    EXPECT_EQ(read_grpc_timeout("99999999u"), 99'999'999'000);
    EXPECT_EQ(read_grpc_timeout("5n"), 5);
    // Some clients say for ever like this; in nanoseconds it is more than 63 bits hold.
    EXPECT_EQ(read_grpc_timeout("99999999H"), kTimeoutMaxNs);
    for (const char* const nonsense :
         {"", "S", "5", "5s", "5h", "-5S", "123456789m", "5 S", "5SS"}) {
        EXPECT_FALSE(read_grpc_timeout(nonsense)) << nonsense;
    }
}

TEST(Deadline, TheLesserOfWishAndLimitHolds) {
    EXPECT_EQ(deadline_ns(kSecond, 100 * kMillisecond, 30 * kSecond), 1100 * kMillisecond);
    EXPECT_EQ(deadline_ns(kSecond, 60 * kSecond, 30 * kSecond), 31 * kSecond);
    EXPECT_EQ(deadline_ns(kSecond, std::nullopt, 30 * kSecond), 31 * kSecond);
    EXPECT_EQ(deadline_ns(kSecond, std::nullopt, INT64_MAX), kSecond + kTimeoutMaxNs);
}

// A second attempt writes over the first one's value; a longer or shorter one would move the head.
TEST(Deadline, TheNextHopIsToldLessAlwaysInTheSameWidth) {
    EXPECT_EQ(text(write_timeout_ms(95'999'999)), "      95");
    EXPECT_EQ(text(write_timeout_ms(999'999)), "       0");
    EXPECT_EQ(text(write_timeout_ms(-1)), "       0");
    EXPECT_EQ(text(write_timeout_ms(INT64_MAX)), "99999999");
    EXPECT_EQ(text(write_grpc_timeout(95'000'999)), "00095000u");
    EXPECT_EQ(text(write_grpc_timeout(99'999'999'999)), "99999999u");
    EXPECT_EQ(text(write_grpc_timeout(100 * kSecond)), "00100000m");
    EXPECT_EQ(text(write_grpc_timeout(kTimeoutMaxNs)), "00604800S");
    EXPECT_EQ(text(write_grpc_timeout(-5)), "00000000u");
}

TEST(Deadline, WhatIsWrittenIsReadBackAndNeverMore) {
    Random random(5);
    for (int i = 0; i < 10'000; ++i) {
        const auto left = static_cast<std::int64_t>(random.next() >> (1 + random.below(60)));
        const std::int64_t least = std::min(left, kTimeoutMaxNs);
        const std::string ours = text(write_timeout_ms(least));
        const std::int64_t back = *read_timeout_ms(ours.substr(ours.find_first_not_of(' ')));
        EXPECT_LE(back, least);
        EXPECT_GT(back, std::min(least, 99'999'999 * kMillisecond) - kMillisecond);
        const std::int64_t grpc = *read_grpc_timeout(text(write_grpc_timeout(least)));
        EXPECT_LE(grpc, least);
        EXPECT_GT(grpc, least - std::max(least / 90'000, std::int64_t{1000}));
    }
}

TEST(Deadline, WhoCannotBeInTimeIsRefusedAtOnce) {
    Random random(1);
    const Usual slow{.samples = 1000, .half_ns = kSecond};
    int begun = 0;
    for (int i = 0; i < 1600; ++i) begun += can_finish(100 * kMillisecond, slow, random) ? 1 : 0;
    EXPECT_GT(begun, 50) << "nobody would see that it has become quick";
    EXPECT_LT(begun, 200);
    EXPECT_TRUE(can_finish(kSecond, slow, random));
    EXPECT_FALSE(can_finish(0, slow, random));
    EXPECT_FALSE(can_finish(-1, Usual{}, random));
}

// After a start nothing is known, and the first answer of a cold service is slow.
TEST(Deadline, NobodyIsRefusedForAFewSlowAnswers) {
    Random random(1);
    for (int i = 0; i < 100; ++i) {
        EXPECT_TRUE(can_finish(1, Usual{.samples = 49, .half_ns = kSecond}, random));
    }
}

}  // namespace
}  // namespace thole::edge
