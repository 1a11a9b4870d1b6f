// A histogram of durations: log-linear, 16 steps to each doubling, from 1 µs to more than an hour,
// within 6.25 %. One writer; any reader sums. Plain data, so that it lies in the segment and
// outlives its edge.
#pragma once

#include <atomic>
#include <cstdint>

#include "wire/edge.h"

namespace thole::edge {

constexpr std::uint32_t kLatencySteps = 16;
constexpr std::uint32_t kLatencyBuckets = kLatencySteps * 30;

// Bucket of a duration; the last one holds all that is longer.
std::uint32_t latency_bucket(std::uint64_t microseconds);
// The least duration that is not in this bucket any more.
std::uint64_t latency_bucket_end(std::uint32_t bucket);

struct LatencyHistogram {
    std::atomic<std::uint64_t> counts[kLatencyBuckets];

    void record(std::uint64_t microseconds) {
        std::atomic<std::uint64_t>& count = counts[latency_bucket(microseconds)];
        count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    // The duration below which this share of all lies, at most 6.25 % too long; 0 where there are
    // none.
    std::uint64_t quantile(double share) const;
};

// Of a route, for each outcome that an instance's answer makes. In pages that are not there before
// something is counted.
struct RouteLatencies {
    LatencyHistogram of[wire::kTimedOutcomes];
};

// Adds it to buckets that end at wire::kDurationBoundsUs. None is counted below its duration: what
// lies in a step that a bound cuts in two counts above the bound. So a bucket may lack those of the
// last 6.25 % below its end, and counts each of the others.
void fold(const LatencyHistogram& from, std::uint64_t (&into)[wire::kDurationBuckets]);

}  // namespace thole::edge
