// Limits of an attempt as they are learned, and alarms.
#include "edge/usual_time.h"

#include <gtest/gtest.h>

#include "edge/alarms.h"
#include "edge/test_times.h"
#include "model/defaults.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kMost = 30 * kSecond;

UsualTime learned(int answers, std::int64_t took_ns) {
    UsualTime usual;
    for (int i = 0; i < answers; ++i) usual.answered(took_ns, kSecond + i * kMillisecond);
    return usual;
}

TEST(UsualTime, WithFewAnswersTheWholeLimitIsWaited) {
    EXPECT_EQ(learned(0, 0).try_limit_ns(kSecond, kMost), kMost);
    EXPECT_EQ(learned(20, kMillisecond).try_limit_ns(2 * kSecond, kMost), kMost);
}

TEST(UsualTime, AQuickServiceIsNotWaitedForLong) {
    EXPECT_EQ(learned(500, kMillisecond).try_limit_ns(2 * kSecond, kMost),
              model::kTryLimitMin.count());
}

// A page that takes five seconds and was asked once in the last minutes is not asked twice.
TEST(UsualTime, OneSlowPageAmongManyQuickOnesIsWaitedFor) {
    UsualTime usual = learned(5000, kMillisecond);
    usual.answered(5 * kSecond, 10 * kSecond);
    EXPECT_EQ(usual.try_limit_ns(11 * kSecond, kMost), 5 * kSecond * model::kTryLimitTimes);
    EXPECT_EQ(usual.try_limit_ns(11 * kSecond, 10 * kSecond), 10 * kSecond);
    // Also in the span after it; then it is forgotten.
    for (int i = 0; i < 500; ++i) usual.answered(kMillisecond, 320 * kSecond + i * kMillisecond);
    EXPECT_EQ(usual.try_limit_ns(321 * kSecond, kMost), 5 * kSecond * model::kTryLimitTimes);
    for (int i = 0; i < 500; ++i) usual.answered(kMillisecond, 640 * kSecond + i * kMillisecond);
    EXPECT_EQ(usual.try_limit_ns(641 * kSecond, kMost), model::kTryLimitMin.count());
}

TEST(UsualTime, WhatWasLongAgoSaysNothing) {
    EXPECT_EQ(learned(5000, kMillisecond).try_limit_ns(3600 * kSecond, kMost), kMost);
}

// All clients of an instance that hangs leave after half a second: each of them is evidence, and
// none where answers take as long now and then.
TEST(UsualTime, SilenceIsUnusualWhereItIsLongerThanAnyAnswerOfLate) {
    const UsualTime quick = learned(100, 10 * kMillisecond);
    EXPECT_TRUE(quick.is_unusual(500 * kMillisecond, 2 * kSecond));
    EXPECT_FALSE(quick.is_unusual(30 * kMillisecond, 2 * kSecond)) << "not much longer";
    UsualTime with_slow_page = quick;
    with_slow_page.answered(600 * kMillisecond, 2 * kSecond);
    EXPECT_FALSE(with_slow_page.is_unusual(500 * kMillisecond, 3 * kSecond));
    EXPECT_FALSE(learned(10, kMillisecond).is_unusual(5 * kSecond, 2 * kSecond)) << "hardly known";
    EXPECT_FALSE(quick.is_unusual(500 * kMillisecond, 3600 * kSecond)) << "long ago";
}

// Clients that leave just where the slowest answers come: what is well must not look bad for it.
TEST(UsualTime, OfAHealthyInstanceHardlyAnySilenceIsUnusual) {
    UsualTime usual;
    Random random(5);
    int unusual = 0, left = 0;
    constexpr int kRequests = 100'000;
    constexpr std::int64_t kPatience = 200 * kMillisecond;
    for (int i = 0; i < kRequests; ++i) {
        const std::int64_t now = kSecond + i * 10 * kMillisecond;
        // One in fifty takes up to ten times as long as the others, which take 10 to 60 ms.
        std::int64_t took =
            10 * kMillisecond + static_cast<std::int64_t>(random.below(50)) * kMillisecond;
        if (random.chance(0.02)) took *= 1 + static_cast<std::int64_t>(random.below(10));
        if (took <= kPatience) {
            usual.answered(took, now);
            continue;
        }
        ++left;
        unusual += usual.is_unusual(kPatience, now) ? 1 : 0;
    }
    EXPECT_GT(left, kRequests / 200);
    // Less than what is bad for anybody (ejection.h).
    EXPECT_LT(unusual, kRequests * 2 / 100);
}

TEST(UsualTime, HalfIsInTheMiddleOfWhatIsSeen) {
    UsualTime usual;
    Random random(7);
    for (int i = 0; i < 4000; ++i)
        usual.answered((1 + static_cast<std::int64_t>(random.below(100))) * kMillisecond,
                       kSecond + i * kMillisecond);
    EXPECT_NEAR(static_cast<double>(usual.half().half_ns), 50.0 * kMillisecond,
                20.0 * kMillisecond);
    EXPECT_EQ(usual.half().samples, 4000U);
}

TEST(Alarms, OneAClientAndTheEarliestFirst) {
    Alarms alarms;
    std::int64_t seven = 0, eight = 0;
    EXPECT_EQ(alarms.quiet_ns(0, 100), 100);
    alarms.set(7, seven, 50);
    alarms.set(7, seven, 60);  // It is woken before.
    alarms.set(8, eight, 20);
    EXPECT_EQ(alarms.quiet_ns(5, 100), 15);
    EXPECT_EQ(alarms.quiet_ns(30, 100), 0);
    Alarms::Alarm alarm{};
    EXPECT_FALSE(alarms.take(19, alarm));
    ASSERT_TRUE(alarms.take(55, alarm));
    EXPECT_EQ(alarm.fd, 8U);
    ASSERT_TRUE(alarms.take(55, alarm));
    EXPECT_EQ(alarm.fd, 7U);
    EXPECT_FALSE(alarms.take(1000, alarm));
}

}  // namespace
}  // namespace thole::edge
