#include "control/burning.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/defaults.h"

namespace thole::control {
namespace {

constexpr double kMillion = 1'000'000;

bool is_too_fast(const Burn& burn, std::int64_t allowed) {
    if (burn.asked == 0) return false;
    const double failed = static_cast<double>(burn.failed) / static_cast<double>(burn.asked);
    // A generous budget cannot burn so many times too fast: then half of all is too much.
    return failed >= std::min(model::kBurnTimes * static_cast<double>(allowed) / kMillion, 0.5);
}

}  // namespace

void Burning::look(Time now, const Served& totals) {
    if (!looks_.empty()) {
        const Served& last = looks_.back().totals;
        if (totals.asked < last.asked || totals.failed < last.failed) looks_.clear();
    }
    looks_.push_back({now, totals});
    while (looks_.size() > 2 && looks_[1].at <= now - model::kBurnWindow) looks_.pop_front();
}

Burn Burning::since(Duration window) const {
    const Look& last = looks_.back();
    const Time from = last.at - window;
    // The last look that is at least so old; the first where none is.
    const auto after = std::upper_bound(looks_.begin(), looks_.end(), from,
                                        [](Time at, const Look& look) { return at < look.at; });
    const Look& first = after == looks_.begin() ? *after : *(after - 1);
    return {last.totals.asked - first.totals.asked, last.totals.failed - first.totals.failed,
            last.at - first.at};
}

std::optional<Burn> Burning::burn(std::int64_t allowed) const {
    if (looks_.size() < 2) return std::nullopt;
    const Burn all = since(model::kBurnWindow);
    if (all.failed < model::kBurnFailuresMin || !is_too_fast(all, allowed)) return std::nullopt;
    return is_too_fast(since(model::kBurnStillWindow), allowed) ? std::optional(all) : std::nullopt;
}

std::string words_of(const Burn& burn, std::int64_t allowed) {
    const double share = static_cast<double>(burn.failed) / static_cast<double>(burn.asked);
    return fmt::format(
        "burned its budget {:.0f} times too fast ({} of {} failed in {}; allowed "
        "{:g} %)",
        share * kMillion / static_cast<double>(allowed), burn.failed, burn.asked,
        format_duration(burn.within), static_cast<double>(allowed) / 10'000);
}

}  // namespace thole::control
