#include "recovery/back_off.h"

#include <algorithm>

#include "model/defaults.h"

namespace thole::recovery {
namespace {

// Who is killed later may start again at once, however often: that is no storm.
constexpr Duration kYoung = std::chrono::seconds(1);

}  // namespace

Failures after_end(Failures before, const EndSeen& seen, Time now, Random& random) {
    if (seen.was_asked) return before;
    if (seen.was_ready && seen.ready_for >= model::kRecoveredAfter) before = Failures{};
    if (seen.was_ready && model::was_killed_from_outside(seen.end)) {
        if (seen.ready_for >= kYoung) return before;
        if (before.forgiven == Time{} || now - before.forgiven >= model::kRecoveredAfter) {
            before.forgiven = now;
            return before;
        }
    }
    const int in_row = before.in_row + 1;
    if (in_row == 1) return {1, now, before.forgiven};
    Duration wait = model::kRestartDelayMin;
    for (int i = 2; i < in_row && wait < model::kRestartDelayMax; ++i) wait *= 2;
    wait = std::min(wait, Duration(model::kRestartDelayMax));
    // Between a half and the whole of it.
    const auto half = static_cast<std::uint64_t>(wait.count() / 2);
    return {in_row, now + Duration(static_cast<std::int64_t>(half + random.below(half + 1))),
            before.forgiven};
}

}  // namespace thole::recovery
