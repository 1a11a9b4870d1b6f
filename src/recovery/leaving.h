// How one instance leaves without losing a request (design: stopping an instance): out of routing,
// acknowledged by every worker of the edge, what is under way ends or is cut at the deadline,
// SIGTERM, to what it started too once it has ended itself, grace, kill. Each state holds only what
// it needs; next() says what to do on the way into the next one.
#pragma once

#include <string_view>
#include <variant>

#include "base/time.h"

namespace thole::recovery {

struct Removing {};  // Until the edge has acknowledged.
struct Draining {
    Time until;
};  // Until nothing is under way, for half of the time; most requests have ended by then.
struct Ending {
    Time until;
};  // The same: tunnels and event streams, which do not end by themselves, are ended one by one.
struct Cutting {
    Time until;
};  // Until the edge has closed what was left.
struct Asked {
    Time until;
};  // SIGTERM was sent to its first process.
struct AskedRest {
    Time until;
};  // That has ended; SIGTERM was sent to what it left.
struct Killing {
    Time again;
};  // SIGKILL to all of it; repeated.
using Leaving = std::variant<Removing, Draining, Ending, Cutting, Asked, AskedRest, Killing>;

struct LeavingSeen {
    bool is_routed = true;         // It has an endpoint at all.
    bool is_acknowledged = false;  // Its removal.
    bool is_cut = false;           // The edge said that it closed what was left.
    std::uint32_t in_flight = 0;   // As of an answer of the edge after the acknowledgement.
    bool has_ended = false;        // Its first process, and others of it have not.
    Duration drain_limit{};
    Duration grace{};
    Time now{};
};

// End: its first process has ended, and what is left is killed.
enum class LeavingAction : std::uint8_t { None, EndLasting, Cut, Ask, AskRest, Kill, End };

struct LeavingStep {
    Leaving next;
    LeavingAction action = LeavingAction::None;
    bool has_changed = false;
    Time look_again{};  // Time{}: only when something happens.
};

LeavingStep next(const Leaving& at, const LeavingSeen& seen);
// The same, with so much more time: nobody could do anything meanwhile.
Leaving put_off(Leaving at, Duration by);
// "draining", for people.
std::string_view name_of(const Leaving& at);

}  // namespace thole::recovery
