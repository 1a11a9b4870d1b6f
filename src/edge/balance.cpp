#include "edge/balance.h"

#include "base/check.h"

namespace thole::edge {

std::size_t choose(std::span<const Candidate> candidates, Random& random) {
    CHECK(!candidates.empty());
    if (candidates.size() == 1) return 0;
    const std::uint64_t first = random.below(candidates.size());
    std::uint64_t second = random.below(candidates.size() - 1);
    if (second >= first) ++second;
    const Candidate& left = candidates[first];
    const Candidate& right = candidates[second];
    const std::uint64_t left_latency = left.latency_us != 0 ? left.latency_us : right.latency_us;
    const std::uint64_t right_latency = right.latency_us != 0 ? right.latency_us : left.latency_us;
    const std::uint64_t left_load = (left.in_flight + std::uint64_t{1}) * (left_latency + 1);
    const std::uint64_t right_load = (right.in_flight + std::uint64_t{1}) * (right_latency + 1);
    return left_load <= right_load ? first : second;
}

bool should_hand_on(std::uint32_t own, std::uint32_t others) {
    return own > others + 2 + others / 8;
}

std::uint32_t average_latency(std::uint32_t before_us, std::uint32_t took_us) {
    if (before_us == 0) return took_us == 0 ? 1 : took_us;
    // An eighth of the new one, as TCP smooths its round trips (RFC 6298).
    const std::int64_t next =
        std::int64_t{before_us} + (std::int64_t{took_us} - std::int64_t{before_us}) / 8;
    return next < 1 ? 1 : static_cast<std::uint32_t>(next);
}

}  // namespace thole::edge
