#include "control/pauses.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/control.h"

namespace thole::control {

Duration left_of(const model::PauseRow& row, WallTime now) {
    const Duration limit(row.limit_ns);
    return std::clamp(limit - (now - row.since), Duration::zero(), limit);
}

// The edge may not have heard of the last word yet.
void Control::recall_pauses() {
    for (auto& [id, pause] : world_.pauses) {
        tell_edge(pause);
        if (pause.row.is_on && pause.row.limit_ns != 0)
            end_after(pause, left_of(pause.row, env_.clock.wall()));
    }
}

void Control::tell_edge(Pause& pause) {
    pause.is_applied = false;
    if (pause.row.is_on) {
        edge_->hold(pause.row.service, kHoldPause);
    } else {
        edge_->let_go(pause.row.service, kHoldPause);
    }
}

void Control::end_after(Pause& pause, Duration left) {
    const std::uint32_t id = pause.row.service;
    pause.end = env_.timers.after(left, [this, id] {
        const model::PauseRow& row = world_.pauses[id].row;
        resume(id, "its " + format_duration(Duration(row.limit_ns)) + " are over");
    });
}

// The edge is told once it is on the disk: else a control that comes after us would not know whom
// to let go. Said again it begins anew, with another end or another author; what waits goes on
// waiting.
void Control::pause(const Service& service, Duration limit, std::string author) {
    const std::uint32_t id = service.row.id;
    Pause& pause = world_.pauses[id];
    const bool was_on = pause.row.service == id && pause.row.is_on;
    if (was_on && pause.row.limit_ns == 0 && limit == Duration::zero()) return;
    std::string text = "by thole pause, " + author;
    if (limit != Duration::zero()) text += ", for " + format_duration(limit);
    pause.row = {id, true, env_.clock.wall(), limit.count(), std::move(author)};
    put(pause.row);
    say({.kind = "service paused", .service = service.row.name, .text = std::move(text)});
    pause.end = {};
    if (limit != Duration::zero()) end_after(pause, limit);
    if (was_on) return;
    pause.is_applied = false;
    after_commit([this, id] {
        if (const auto found = world_.pauses.find(id); found != world_.pauses.end())
            tell_edge(found->second);
    });
}

// The row stays until the edge has said that it lets go: a control that comes after us says it
// again.
void Control::resume(std::uint32_t service, std::string_view why) {
    const auto found = world_.pauses.find(service);
    if (found == world_.pauses.end() || !found->second.row.is_on) return;
    Pause& pause = found->second;
    pause.row.is_on = false;
    put(pause.row);
    say({.kind = "service resumed",
         .service = world_.services[service].row.name,
         .text = std::string(why)});
    tell_edge(pause);
    pause.end = {};  // Its call may be what we are in.
}

void Control::resume_all(std::string_view why) {
    for (const auto& [id, pause] : world_.pauses) resume(id, why);
}

void Control::when_edge_knows(std::uint32_t service, std::function<void()> act) {
    const auto found = world_.pauses.find(service);
    if (found == world_.pauses.end() || found->second.is_applied) return act();
    found->second.waiting.push_back(std::move(act));
}

void Control::on_hold_applied(std::uint32_t service) {
    const auto found = world_.pauses.find(service);
    if (found == world_.pauses.end()) return;
    found->second.is_applied = true;
    const auto waiting = std::exchange(found->second.waiting, {});
    if (!found->second.row.is_on) {
        put(RemovePause{service});
        world_.pauses.erase(found);
    }
    for (const std::function<void()>& act : waiting) act();
    mark(service);
}

}  // namespace thole::control
