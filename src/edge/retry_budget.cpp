#include "edge/retry_budget.h"

#include <algorithm>
#include <charconv>

#include "model/defaults.h"

namespace thole::edge {

namespace {

constexpr std::int64_t kToken = 1000;
constexpr std::int64_t kSecondNs = 1'000'000'000;

std::int64_t nanoseconds(Duration duration) { return duration.count(); }

}  // namespace

void RetryBudget::turn_second(std::int64_t now_ns) {
    if (!is_begun_) {
        is_begun_ = true;
        second_ns_ = now_ns;
        tokens_ = model::kRetriesSaved * kToken;  // The first failure of a new edge is no storm.
    }
    const std::int64_t passed = (now_ns - second_ns_) / kSecondNs;
    if (passed <= 0) return;
    const std::int64_t most = model::kRetriesSaved * kToken;
    const std::int64_t least = model::kRetriesPerSecond * kToken;
    // Of an hour without requests no more is kept than fits.
    const std::int64_t idle = std::min(passed - 1, model::kRetriesSaved);
    tokens_ = std::min(tokens_ + std::max<std::int64_t>(least - brought_, 0) + idle * least, most);
    brought_ = 0;
    second_ns_ += passed * kSecondNs;
}

void RetryBudget::request(std::int64_t now_ns) {
    turn_second(now_ns);
    brought_ += model::kRetriesPerMille;
    tokens_ = std::min(tokens_ + model::kRetriesPerMille, model::kRetriesSaved * kToken);
}

bool RetryBudget::take(std::int64_t now_ns, std::uint32_t in_flight,
                       std::uint32_t retries_in_flight) {
    turn_second(now_ns);
    const std::uint64_t share = std::uint64_t{in_flight} * model::kRetriesInFlightPercent / 100;
    if (retries_in_flight >= std::max<std::uint64_t>(model::kRetriesInFlightMin, share)) {
        return false;
    }
    if (tokens_ < kToken) return false;
    tokens_ -= kToken;
    return true;
}

std::optional<std::int64_t> retry_pause_ns(std::uint32_t retry, std::string_view retry_after,
                                           Random& random) {
    const std::uint32_t doublings = std::min(retry == 0 ? 0 : retry - 1, 16U);
    const std::int64_t longest =
        std::min(nanoseconds(model::kRetryPause) << doublings, nanoseconds(model::kRetryPauseMax));
    const std::int64_t pause =
        static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(longest)));
    if (retry_after.empty()) return pause;
    std::uint32_t seconds = 0;
    const char* const end = retry_after.data() + retry_after.size();
    const auto [rest, failure] = std::from_chars(retry_after.data(), end, seconds);
    if (failure != std::errc{} || rest != end) return std::nullopt;
    const std::int64_t asked = std::int64_t{seconds} * kSecondNs;
    if (asked > nanoseconds(model::kRetryAfterMax)) return std::nullopt;
    // Never before what was asked for, and not all in the same moment.
    return asked + pause;
}

}  // namespace thole::edge
