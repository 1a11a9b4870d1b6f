#include "deploy/verdict.h"

#include <fmt/format.h>

namespace thole::deploy {

Verdict verdict_of(const DeploySeen& seen) {
    if (seen.is_settled) return Done{};
    if (seen.can_turn_back && seen.failures >= kFailuresMax) {
        return TurnBack{fmt::format("it did not start {} times in a row; the last time: {}",
                                    seen.failures, seen.last_failure)};
    }
    return GoOn{};
}

}  // namespace thole::deploy
