#include "edge/balance.h"

#include <algorithm>

#include "base/check.h"
#include "model/defaults.h"

namespace thole::edge {

namespace {

// About e^-x, without what exp() costs on the hot path: that of an eighth, eight times. Once alone
// it would fall so slowly that one answer 300 times slower than usual counted for minutes.
double decay(double x) {
    const double eighth = x / 8;
    const double once = 1 / (1 + eighth + eighth * eighth / 2);
    const double twice = once * once;
    const double four_times = twice * twice;
    return four_times * four_times;
}

std::uint64_t weight_of(std::span<const Candidate> candidates) {
    std::uint64_t weight = 0;
    for (const Candidate& candidate : candidates) weight += candidate.weight;
    return weight;
}

std::uint32_t most_weight_of(std::span<const Candidate> candidates) {
    std::uint32_t most = 0;
    for (const Candidate& candidate : candidates) most = std::max(most, candidate.weight);
    return most;
}

// Drawn by weight.
std::size_t draw(std::span<const Candidate> candidates, std::uint64_t all, Random& random) {
    if (all == 0) return random.below(candidates.size());
    std::uint64_t at = random.below(all);
    std::size_t index = 0;
    while (at >= candidates[index].weight) at -= candidates[index++].weight;
    return index;
}

}  // namespace

double PeakLatency::faded(std::int64_t now_ns) const {
    const std::int64_t passed = std::max<std::int64_t>(now_ns - at_ns_, 0);
    return peak_us_ *
           decay(static_cast<double>(passed) / static_cast<double>(model::kLatencyMemory.count()));
}

void PeakLatency::sample(std::int64_t now_ns, double took_us) {
    const std::int64_t passed = std::max<std::int64_t>(now_ns - at_ns_, 0);
    const double kept =
        decay(static_cast<double>(passed) / static_cast<double>(model::kLatencyMemory.count()));
    const double mean = peak_us_ * kept + took_us * (1 - kept);
    peak_us_ = std::max({took_us, mean, 1.0});
    at_ns_ = now_ns;
}

void PeakLatency::end(std::int64_t now_ns) {
    if (waiting_ > 0) --waiting_;
    silent_ns_ = now_ns;
}

void PeakLatency::began(std::int64_t now_ns) {
    if (waiting_++ == 0) silent_ns_ = now_ns;
}

void PeakLatency::answered(std::int64_t now_ns, std::int64_t took_ns) {
    end(now_ns);
    sample(now_ns, static_cast<double>(took_ns) / 1000);
}

void PeakLatency::failed(std::int64_t now_ns, std::int64_t took_ns) {
    end(now_ns);
    sample(now_ns, std::max(static_cast<double>(took_ns) / 1000, peak_us_));
}

void PeakLatency::left(std::int64_t now_ns) {
    if (waiting_ > 0) --waiting_;
    if (waiting_ == 0) silent_ns_ = now_ns;
}

std::uint32_t PeakLatency::us(std::int64_t now_ns) const {
    const double silent =
        waiting_ == 0 ? 0
                      : static_cast<double>(std::max<std::int64_t>(now_ns - silent_ns_, 0)) / 1000;
    const double usual = peak_us_ == 0 ? 0 : std::max(faded(now_ns), 1.0);
    return static_cast<std::uint32_t>(std::min(std::max(usual, silent), 4e9));
}

std::size_t choose(std::span<const Candidate> candidates, Random& random) {
    CHECK(!candidates.empty());
    if (candidates.size() == 1) return 0;
    const std::uint64_t all = weight_of(candidates);
    const std::size_t first = draw(candidates, all, random);
    std::size_t second = random.below(candidates.size() - 1);
    if (second >= first) ++second;
    // The second of two is always the other one, whatever its weight: so it is only looked at as
    // often as its weight says, against the most that one of them has. Where all are new, always.
    const std::uint32_t most = most_weight_of(candidates);
    if (candidates[second].weight < most && random.below(most) >= candidates[second].weight) {
        return first;
    }
    const Candidate& left = candidates[first];
    const Candidate& right = candidates[second];
    const std::uint64_t left_latency = left.latency_us != 0 ? left.latency_us : right.latency_us;
    const std::uint64_t right_latency = right.latency_us != 0 ? right.latency_us : left.latency_us;
    const std::uint64_t left_load =
        (left.in_flight + std::uint64_t{1}) * (left_latency + 1) * left.penalty;
    const std::uint64_t right_load =
        (right.in_flight + std::uint64_t{1}) * (right_latency + 1) * right.penalty;
    return left_load <= right_load ? first : second;
}

std::uint32_t slow_start_weight(std::int64_t now_ns, std::int64_t since_ns) {
    const std::int64_t passed = now_ns - since_ns;
    if (since_ns == 0 || passed >= model::kSlowStart.count()) return 1000;
    const std::int64_t share = std::max<std::int64_t>(passed, 0) * 1000 / model::kSlowStart.count();
    return std::max(static_cast<std::uint32_t>(share), model::kSlowStartLeast);
}

bool should_hand_on(std::uint32_t own, std::uint32_t others) {
    return own > others + 2 + others / 8;
}

}  // namespace thole::edge
