#include "edge/patience.h"

#include <algorithm>

namespace thole::edge {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kMsMax = 1'000'000'000;  // Eleven days.

}  // namespace

bool keeps_pace(BodyTime& time, const BodyPace& pace, const BodyLook& look) {
    const auto low = static_cast<std::uint32_t>(look.in);
    if (pace.bytes_per_second == 0) return true;
    if (time.left_ms < 0) {
        time = {low, static_cast<std::int32_t>(std::min(pace.grace_ns / kMs, kMsMax))};
        return true;
    }
    const std::int64_t most_ms = std::min(std::max(pace.saved_max_ns, pace.grace_ns) / kMs, kMsMax);
    const std::uint32_t came = low - time.seen;
    std::int64_t left_ms = time.left_ms;
    left_ms += std::int64_t{came} * 1000 / pace.bytes_per_second;
    if (look.waiting == Waiting::ForClient) left_ms -= look.since_ns / kMs;
    time = {low, static_cast<std::int32_t>(std::clamp<std::int64_t>(left_ms, 0, most_ms))};
    return left_ms >= 0;
}

}  // namespace thole::edge
