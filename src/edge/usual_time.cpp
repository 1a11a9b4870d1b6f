#include "edge/usual_time.h"

#include <algorithm>

#include "model/defaults.h"

namespace thole::edge {
namespace {

// What is asked for less often than every five minutes is not known as slow; longer would remember
// what is no more.
constexpr std::int64_t kSpanNs = 300'000'000'000;
// Of the two spans; fewer say little of the slowest.
constexpr std::uint64_t kSeenMin = 300;

}  // namespace

void UsualTime::turn(std::int64_t now_ns) {
    const std::int64_t passed = now_ns - begun_ns_;
    if (passed < kSpanNs) return;
    const bool is_long_ago = passed >= 2 * kSpanNs;
    slowest_ns_[1] = is_long_ago ? 0 : slowest_ns_[0];
    seen_[1] = is_long_ago ? 0 : seen_[0];
    slowest_ns_[0] = 0;
    seen_[0] = 0;
    begun_ns_ = now_ns;
}

void UsualTime::answered(std::int64_t took_ns, std::int64_t now_ns) {
    turn(now_ns);
    slowest_ns_[0] = std::max(slowest_ns_[0], took_ns);
    ++seen_[0];
    ++samples_;
    // The median by steps (Robbins and Monro 1951): up as often as down where half are below.
    if (samples_ == 1) {
        half_ns_ = took_ns;
    } else {
        const std::int64_t step = half_ns_ / 16 + 1;
        half_ns_ = std::max<std::int64_t>(half_ns_ + (took_ns > half_ns_ ? step : -step), 1);
    }
}

bool UsualTime::is_unusual(std::int64_t silent_ns, std::int64_t now_ns) const {
    const bool is_known =
        now_ns - begun_ns_ < 2 * kSpanNs && seen_[0] + seen_[1] >= kUsualSamplesMin;
    return is_known && silent_ns > std::max(slowest_ns_[0], slowest_ns_[1]) &&
           silent_ns > half_ns_ * model::kTryLimitTimes;
}

std::int64_t UsualTime::try_limit_ns(std::int64_t now_ns, std::int64_t most_ns) const {
    const std::int64_t passed = now_ns - begun_ns_;
    if (passed >= 2 * kSpanNs || seen_[0] + seen_[1] < kSeenMin) return most_ns;
    const std::int64_t slowest = std::max(slowest_ns_[0], slowest_ns_[1]);
    if (slowest > most_ns / model::kTryLimitTimes) return most_ns;
    return std::clamp(slowest * model::kTryLimitTimes, model::kTryLimitMin.count(), most_ns);
}

}  // namespace thole::edge
