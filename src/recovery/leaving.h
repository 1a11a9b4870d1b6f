// How one instance leaves without losing a request (design: stopping an instance): out of routing,
// acknowledged by every worker of the edge, what is under way ends or is cut at the deadline,
// SIGTERM, grace, kill. Each state holds only what it needs; next() says what to do on the way into
// the next one.
#pragma once

#include <string_view>
#include <variant>

#include "base/time.h"

namespace thole::recovery {

struct Removing {};  // Until the edge has acknowledged.
struct Draining {
    Time until;
};  // Until nothing is under way.
struct Cutting {
    Time until;
};  // Until the edge has closed what was left.
struct Asked {
    Time until;
};  // SIGTERM was sent.
struct Killing {
    Time again;
};  // SIGKILL to all of it; repeated.
using Leaving = std::variant<Removing, Draining, Cutting, Asked, Killing>;

struct LeavingSeen {
    bool is_routed = true;         // It has an endpoint at all.
    bool is_acknowledged = false;  // Its removal.
    bool is_cut = false;           // The edge said that it closed what was left.
    std::uint32_t in_flight = 0;   // As of an answer of the edge after the acknowledgement.
    Duration drain_limit{};
    Duration grace{};
    Time now{};
};

enum class LeavingAction : std::uint8_t { None, Cut, Ask, Kill };

struct LeavingStep {
    Leaving next;
    LeavingAction action = LeavingAction::None;
    bool has_changed = false;
    Time look_again{};  // Time{}: only when something happens.
};

LeavingStep next(const Leaving& at, const LeavingSeen& seen);
// "draining", for people.
std::string_view name_of(const Leaving& at);

}  // namespace thole::recovery
