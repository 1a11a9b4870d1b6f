// Whether a deploy under way goes on, is done, or turns back. A release that has served before is
// worth turning back to; without one there is nothing to do but to go on trying.
#pragma once

#include <string>
#include <variant>

#include "base/time.h"

namespace thole::deploy {

constexpr int kFailuresMax = 3;  // Starts of the new release that may go wrong in a row.

struct DeploySeen {
    bool can_turn_back = false;     // Another release served last.
    bool is_settled = false;        // Only the new one runs, all of it ready, and nothing leaves.
    int failures = 0;               // Of the new release, in a row.
    std::string last_failure = {};  // In words.
};

struct GoOn {};
struct Done {};
struct TurnBack {
    std::string reason;
};
using Verdict = std::variant<GoOn, Done, TurnBack>;

Verdict verdict_of(const DeploySeen& seen);

}  // namespace thole::deploy
