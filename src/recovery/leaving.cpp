#include "recovery/leaving.h"

namespace thole::recovery {
namespace {

using namespace std::chrono_literals;

// For the edge to cut what is still open: it answers in milliseconds; where it hangs, its successor
// cuts nothing that still is.
constexpr Duration kCutLimit = 10s;
constexpr Duration kKillAgain = 1s;

LeavingStep change(Leaving to, LeavingAction action, Time look_again) {
    return {to, action, true, look_again};
}

LeavingStep ask_rest(Time until) { return change(AskedRest{until}, LeavingAction::AskRest, until); }

LeavingStep ask(const LeavingSeen& seen) {
    const Time until = seen.now + seen.grace;
    if (seen.has_ended) return ask_rest(until);
    return change(Asked{until}, LeavingAction::Ask, until);
}

LeavingStep next_of(const Removing& at, const LeavingSeen& seen) {
    if (!seen.is_routed) return ask(seen);
    if (!seen.is_acknowledged) return {at};
    if (seen.in_flight == 0) return ask(seen);
    const Time until = seen.now + seen.drain_limit / 2;
    return change(Draining{until}, LeavingAction::None, until);
}

LeavingStep next_of(const Draining& at, const LeavingSeen& seen) {
    if (seen.in_flight == 0) return ask(seen);
    if (seen.now < at.until) return {at, LeavingAction::None, false, at.until};
    const Time until = at.until + (seen.drain_limit - seen.drain_limit / 2);
    return change(Ending{until}, LeavingAction::EndLasting, until);
}

LeavingStep next_of(const Ending& at, const LeavingSeen& seen) {
    if (seen.in_flight == 0) return ask(seen);
    if (seen.now < at.until) return {at, LeavingAction::None, false, at.until};
    const Time until = seen.now + kCutLimit;
    return change(Cutting{until}, LeavingAction::Cut, until);
}

// Not before the edge has said how many it was, which may come after the last of them is gone.
LeavingStep next_of(const Cutting& at, const LeavingSeen& seen) {
    if (seen.is_cut || seen.now >= at.until) return ask(seen);
    return {at, LeavingAction::None, false, at.until};
}

LeavingStep next_of(const Asked& at, const LeavingSeen& seen) {
    if (seen.has_ended) return ask_rest(at.until);
    if (seen.now < at.until) return {at, LeavingAction::None, false, at.until};
    const Time again = seen.now + kKillAgain;
    return change(Killing{again}, LeavingAction::Kill, again);
}

LeavingStep next_of(const AskedRest& at, const LeavingSeen& seen) {
    if (seen.now < at.until) return {at, LeavingAction::None, false, at.until};
    return {at, LeavingAction::End};
}

LeavingStep next_of(const Killing& at, const LeavingSeen& seen) {
    if (seen.has_ended) return {at, LeavingAction::End};
    if (seen.now < at.again) return {at, LeavingAction::None, false, at.again};
    const Time again = seen.now + kKillAgain;
    return {Killing{again}, LeavingAction::Kill, false, again};
}

}  // namespace

LeavingStep next(const Leaving& at, const LeavingSeen& seen) {
    return std::visit([&](const auto& state) { return next_of(state, seen); }, at);
}

Leaving put_off(Leaving at, Duration by) {
    std::visit(
        [&](auto& state) {
            if constexpr (requires { state.until; }) state.until += by;
            if constexpr (requires { state.again; }) state.again += by;
        },
        at);
    return at;
}

std::string_view name_of(const Leaving& at) {
    constexpr std::string_view kNames[] = {"removing", "draining", "ending", "cutting",
                                           "stopping", "stopping", "killing"};
    return kNames[at.index()];
}

}  // namespace thole::recovery
