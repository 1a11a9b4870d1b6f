// Balancing, learned keep-alive and latency: the small pure parts.
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "edge/balance.h"
#include "edge/keepalive.h"
#include "edge/latency.h"
#include "edge/test_times.h"

namespace thole::edge {
namespace {

TEST(LearnedKeepAlive, WhatAServerSaysIsReadAndNonsenseIsNot) {
    LearnedKeepAlive learned;
    for (const char* const nonsense : {"", "timeout", "timeout=", "timeout=x", "max=5"}) {
        learned.told(std::string_view(nonsense));
        EXPECT_EQ(learned.limit_ns(), LearnedKeepAlive::kDefaultNs) << nonsense;
    }
    learned.told(std::string_view("max=100, timeout=5"));
    EXPECT_EQ(learned.limit_ns(), 4 * kSecond);
}

TEST(Balance, TheBusyOneOfTwoIsNotChosen) {
    Random random(1);
    const std::vector<Candidate> two = {{.slot = 20, .in_flight = 9, .latency_us = 100},
                                        {.slot = 21, .in_flight = 1, .latency_us = 100}};
    for (int i = 0; i < 100; ++i) EXPECT_EQ(choose(two, random), 1U);
}

TEST(Balance, EqualsShareEqually) {
    Random random(1);
    const std::vector<Candidate> equals(4, Candidate{.slot = 0, .in_flight = 2, .latency_us = 50});
    std::map<std::size_t, int> chosen;
    for (int i = 0; i < 8000; ++i) ++chosen[choose(equals, random)];
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(chosen[i], 2000, 250) << i;
}

// An endpoint that has just started has no latency: it must not look infinitely fast.
TEST(Balance, ANewEndpointIsNeitherFloodedNorStarved) {
    Random random(1);
    const std::vector<Candidate> two = {{.slot = 20, .in_flight = 0, .latency_us = 100'000},
                                        {.slot = 21, .in_flight = 3, .latency_us = 0}};
    EXPECT_EQ(choose(two, random), 0U);
}

// Clients that all come at once, and one worker is awake first.
TEST(Balance, ClientsFallEvenlyThoughOneWorkerTakesThemAllIn) {
    std::uint32_t own = 0, others = 0;
    for (int i = 0; i < 32; ++i) ++(should_hand_on(own, others) ? others : own);
    EXPECT_NEAR(own, others, 5);
    EXPECT_FALSE(should_hand_on(2, 0));
    EXPECT_FALSE(should_hand_on(1000, 950));
    EXPECT_TRUE(should_hand_on(1000, 800));
}

// Node closes an idle connection after 5 s; the POST that runs into that is lost by every proxy
// that does not know.
TEST(KeepAlive, StaysBelowWhatTheServerShowed) {
    LearnedKeepAlive learned;
    EXPECT_TRUE(learned.may_reuse(30 * kSecond));
    learned.closed_after(5 * kSecond);
    EXPECT_TRUE(learned.may_reuse(3 * kSecond));
    EXPECT_FALSE(learned.may_reuse(4 * kSecond));
    learned.closed_after(7 * kSecond);
    EXPECT_FALSE(learned.may_reuse(4 * kSecond));
    learned.told(20 * kSecond);
    EXPECT_TRUE(learned.may_reuse(15 * kSecond));
    EXPECT_FALSE(learned.may_reuse(16 * kSecond));
}

TEST(KeepAlive, AServerThatClosesAtOnceIsNotAskedTwiceOnOneConnection) {
    LearnedKeepAlive learned;
    learned.closed_after(0);
    EXPECT_FALSE(learned.may_reuse(0));
}

TEST(Latency, EveryDurationIsInABucketOfItsOwnSize) {
    for (std::uint64_t us = 0; us < 5'000'000; us += 1 + us / 50) {
        const std::uint32_t bucket = latency_bucket(us);
        EXPECT_LT(us, latency_bucket_end(bucket)) << us;
        if (bucket > 0) { EXPECT_GE(us, latency_bucket_end(bucket - 1)) << us; }
        EXPECT_LE(static_cast<double>(latency_bucket_end(bucket)),
                  static_cast<double>(us + 1) * 1.0625)
            << us;
    }
    EXPECT_EQ(latency_bucket(~std::uint64_t{0}), kLatencyBuckets - 1);
}

TEST(Latency, QuantilesAreFoundAgain) {
    static LatencyHistogram histogram;
    EXPECT_EQ(histogram.quantile(0.5), 0U);
    for (std::uint64_t us = 1; us <= 1000; ++us) histogram.record(us);
    EXPECT_NEAR(static_cast<double>(histogram.quantile(0.5)), 500, 32);
    EXPECT_NEAR(static_cast<double>(histogram.quantile(0.99)), 990, 62);
    EXPECT_GE(histogram.quantile(1.0), 1000U);
}

}  // namespace
}  // namespace thole::edge
