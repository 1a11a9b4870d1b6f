#include "edge/latency.h"

#include <algorithm>
#include <bit>

namespace thole::edge {

std::uint32_t latency_bucket(std::uint64_t microseconds) {
    if (microseconds < kLatencySteps) return static_cast<std::uint32_t>(microseconds);
    const auto doublings = static_cast<std::uint32_t>(std::bit_width(microseconds)) - 5;
    const auto step = static_cast<std::uint32_t>(microseconds >> doublings) - kLatencySteps;
    return std::min((doublings + 1) * kLatencySteps + step, kLatencyBuckets - 1);
}

std::uint64_t latency_bucket_end(std::uint32_t bucket) {
    if (bucket < kLatencySteps) return bucket + 1;
    const std::uint32_t doublings = bucket / kLatencySteps - 1;
    return (std::uint64_t{kLatencySteps} + bucket % kLatencySteps + 1) << doublings;
}

std::uint64_t LatencyHistogram::quantile(double share) const {
    std::uint64_t total = 0;
    for (const std::atomic<std::uint64_t>& count : counts)
        total += count.load(std::memory_order_relaxed);
    if (total == 0) return 0;
    const double wanted = share * static_cast<double>(total);
    std::uint64_t seen = 0;
    for (std::uint32_t bucket = 0; bucket < kLatencyBuckets; ++bucket) {
        seen += counts[bucket].load(std::memory_order_relaxed);
        if (seen > 0 && static_cast<double>(seen) >= wanted) return latency_bucket_end(bucket);
    }
    return latency_bucket_end(kLatencyBuckets - 1);
}

void fold(const LatencyHistogram& from, std::uint64_t (&into)[wire::kDurationBuckets]) {
    std::uint32_t coarse = 0;
    for (std::uint32_t bucket = 0; bucket < kLatencyBuckets; ++bucket) {
        // The last one has no end.
        const bool is_last = bucket == kLatencyBuckets - 1;
        while (coarse < wire::kDurationBuckets - 1 &&
               (is_last || latency_bucket_end(bucket) > wire::kDurationBoundsUs[coarse]))
            ++coarse;
        into[coarse] += from.counts[bucket].load(std::memory_order_relaxed);
    }
}

}  // namespace thole::edge
