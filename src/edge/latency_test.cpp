#include "edge/latency.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>

namespace thole::edge {
namespace {

constexpr std::uint32_t kLonger = wire::kDurationBuckets - 1;

// The coarse bucket that one duration is counted in.
std::uint32_t folded(std::uint64_t microseconds) {
    const auto histogram = std::make_unique<LatencyHistogram>();
    histogram->record(microseconds);
    std::uint64_t counts[wire::kDurationBuckets] = {};
    fold(*histogram, counts);
    EXPECT_EQ(std::accumulate(std::begin(counts), std::end(counts), std::uint64_t{0}), 1U);
    std::uint32_t at = 0;
    while (counts[at] == 0) ++at;
    return at;
}

// A bound that is said to hold must hold. `microseconds` is rounded down: all below the next one.
TEST(Fold, NoneIsCountedBelowItsDuration) {
    for (const std::uint64_t bound : wire::kDurationBoundsUs) {
        for (std::uint64_t at = bound * 7 / 8; at <= bound * 9 / 8; at += 1 + bound / 4096) {
            const std::uint32_t bucket = folded(at);
            if (bucket != kLonger) { EXPECT_LE(at + 1, wire::kDurationBoundsUs[bucket]) << at; }
        }
        EXPECT_GT(folded(bound), folded(bound * 7 / 8)) << bound;
    }
    EXPECT_EQ(folded(0), 0U);
    EXPECT_EQ(folded(~std::uint64_t{0}), kLonger);
}

// The whole error: of a bucket only those of the last 6.25 % below its end are counted above it.
TEST(Fold, WhatIsBelowItsBoundByASixteenthIsCountedThere) {
    for (const std::uint64_t bound : wire::kDurationBoundsUs) {
        const std::uint64_t sure = bound - (bound + 15) / 16;
        const std::uint32_t bucket = folded(sure);
        ASSERT_NE(bucket, kLonger) << bound;
        EXPECT_LE(wire::kDurationBoundsUs[bucket], bound) << sure;
    }
}

TEST(Fold, AddsToWhatIsThere) {
    const auto histogram = std::make_unique<LatencyHistogram>();
    for (int i = 0; i < 3; ++i) histogram->record(2000);
    std::uint64_t counts[wire::kDurationBuckets] = {};
    fold(*histogram, counts);
    fold(*histogram, counts);
    EXPECT_EQ(counts[3], 6U);
}

}  // namespace
}  // namespace thole::edge
