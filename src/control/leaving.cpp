// One instance's way out: decided, on disk, out of routing, drained, asked, killed.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "control/control.h"
#include "control/requests.h"

namespace thole::control {
namespace {

constexpr std::size_t kNamedMax = 100;  // On the timeline; a line has an end.

// "2 requests are under way: <id>, <id>"
std::string under_way(const std::vector<wire::RequestId>& named) {
    std::string text =
        named.size() == 1 ? "1 request is" : fmt::format("{} requests are", named.size());
    text += " under way";
    for (std::size_t i = 0; i < named.size() && i < kNamedMax; ++i)
        text += (i == 0 ? ": " : ", ") + id_text(named[i]);
    if (named.size() > kNamedMax) text += fmt::format(" and {} more", named.size() - kNamedMax);
    return text;
}

// ", 12 long-lived connections were ended, 1 request cut"
std::string ended_text(const wire::EndpointStats& stats) {
    const std::uint64_t cut = stats.outcomes[static_cast<std::uint32_t>(wire::Outcome::Cut)];
    if (stats.ended + cut == 0) return {};
    return fmt::format(", {} long-lived {} ended, {} cut", stats.ended,
                       stats.ended == 1 ? "connection was" : "connections were", cut);
}

// One that was to end and ended by itself, with others of it left, waits so long for the disk.
constexpr Duration kDurableLimit = std::chrono::seconds(1);
constexpr std::int64_t kBrokenRecalled = 20'000;  // Newest entries of the timeline.

// And it is known that others of it are there, or they were killed with it.
bool is_first_gone(const Instance& instance) {
    return instance.end && (instance.remains != wire::Remains::Unknown ||
                            std::holds_alternative<recovery::Killing>(instance.leaving));
}

std::string_view name_of(wire::Outcome outcome) {
    switch (outcome) {
        case wire::Outcome::Informational: return "informational";
        case wire::Outcome::Success: return "success";
        case wire::Outcome::Redirect: return "redirect";
        case wire::Outcome::ClientError: return "client error";
        case wire::Outcome::ServerError: return "server error";
        case wire::Outcome::ConnectFailed: return "no instance took it";
        case wire::Outcome::Reset: return "its instance went away";
        case wire::Outcome::TimedOut: return "its instance did not answer in time";
        case wire::Outcome::Overloaded: return "held too long";
        case wire::Outcome::Refused: return "refused";
        case wire::Outcome::ClientGone: return "the client left";
        case wire::Outcome::Cut: return "cut at the drain deadline";
        case wire::Outcome::Injected: return "a fault on purpose";
        case wire::Outcome::Count_: break;
    }
    return "unknown";
}

}  // namespace

void Control::leave(Instance& instance, std::string reason) {
    const Service& service = world_.services[instance.service];
    instance.stage = model::Stage::Leaving;
    instance.since = env_.clock.now();
    instance.was_asked = true;
    instance.reason = reason;
    instance.probe.reset();
    remember_leaving(instance);
    say({.kind = "instance leaving",
         .service = service.row.name,
         .instance = model::name_of(service.row.name, instance.id),
         .text = "is to end: " + reason});
}

void Control::remember_leaving(const Instance& instance) {
    put(model::IntentRow{instance.id.slot, instance.id.generation, instance.reason});
    after_commit([this, id = instance.id] {
        Instance* const still = instance_at({id.slot, id.generation});
        if (still == nullptr) return;
        still->is_durable = true;
        mark(still->service);
    });
}

void Control::step_leaving(Instance& instance) {
    const Time now = env_.clock.now();
    // A full or hung disk must not stop recovery from one that ended by itself.
    const bool is_late = !instance.is_durable && now - instance.ended >= kDurableLimit;
    if (instance.end && (instance.remains == wire::Remains::None || is_late))
        return on_end(instance, *instance.end);
    if (!instance.is_durable) return;
    const model::ServiceSpec& spec = spec_at(world_, instance);
    const bool is_routed = instance.port != 0;
    if (is_routed && instance.removal == 0) route(instance, wire::kBitControl);
    const recovery::LeavingStep step = recovery::next(
        instance.leaving,
        {.is_routed = is_routed,
         .is_acknowledged = instance.is_acknowledged,
         .is_cut = instance.is_cut,
         .in_flight = instance.stats.in_flight,
         .has_ended = is_first_gone(instance),
         .drain_limit = spec.is_single()
                            ? std::min(options_.drain_limit, Duration(model::kSingleDrainLimit))
                            : options_.drain_limit,
         .grace = spec.stop_grace,
         .now = now});
    const bool asks = step.action == recovery::LeavingAction::Ask ||
                      step.action == recovery::LeavingAction::AskRest;
    // Nobody would hear it: not now, then.
    if (asks && !keeper_->is_synced()) return;
    if (step.action == recovery::LeavingAction::End) return on_end(instance, *instance.end);
    instance.leaving = step.next;
    act_leaving(instance, step.action);
    if (step.look_again != Time{}) {
        instance.look_again = env_.timers.after(
            step.look_again - now, [this, service_id = instance.service] { mark(service_id); });
    }
    if (!step.has_changed) return;
    say_leaving(instance);
    mark(instance.service);
}

void Control::act_leaving(const Instance& instance, recovery::LeavingAction action) {
    const wire::SlotRef at{instance.id.slot, instance.id.generation};
    switch (action) {
        case recovery::LeavingAction::None:
        case recovery::LeavingAction::End: break;
        case recovery::LeavingAction::EndLasting: end_lasting(instance); break;
        case recovery::LeavingAction::Cut: edge_->cut(at); break;
        case recovery::LeavingAction::Ask:
            keeper_->signal({at, 15, wire::SignalScope::Process});
            break;
        case recovery::LeavingAction::AskRest:
            keeper_->signal({at, 15, wire::SignalScope::All});
            break;
        case recovery::LeavingAction::Kill: kill_all(instance.id); break;
    }
}

// Also of an edge that has not heard of it yet: it has what is left of the time.
void Control::end_lasting(const Instance& instance) {
    const auto* const ending = std::get_if<recovery::Ending>(&instance.leaving);
    if (ending == nullptr) return;
    edge_->drain({instance.id.slot, instance.id.generation}, ending->until - env_.clock.now());
}

void Control::say_leaving(const Instance& instance) {
    const Service& service = world_.services[instance.service];
    std::string text(recovery::name_of(instance.leaving));
    if (std::holds_alternative<recovery::Draining>(instance.leaving))
        text = under_way(instance.named);
    if (std::holds_alternative<recovery::Ending>(instance.leaving))
        text = fmt::format("{} still under way: tunnels and event streams are ended one by one",
                           instance.stats.in_flight);
    if (std::holds_alternative<recovery::Cutting>(instance.leaving))
        text = fmt::format("{} still under way at the drain deadline: closed",
                           instance.stats.in_flight);
    if (std::holds_alternative<recovery::Asked>(instance.leaving))
        text = "nothing is under way" + ended_text(instance.stats) + ": SIGTERM";
    if (std::holds_alternative<recovery::AskedRest>(instance.leaving))
        text = "its first process has ended, others have not: SIGTERM to them, too";
    if (std::holds_alternative<recovery::Killing>(instance.leaving))
        text = fmt::format("still there {} after SIGTERM: killed, with all it started",
                           format_duration(spec_at(world_, instance).stop_grace));
    say({.kind = fmt::format("instance {}", recovery::name_of(instance.leaving)),
         .service = service.row.name,
         .instance = model::name_of(service.row.name, instance.id),
         .text = std::move(text)});
}

// What its first process left is asked to end, too, and has the rest of the grace. keeper says
// first whether there is any, also one that came after the one we asked.
void Control::on_first_end(Instance& instance, const model::End& end, wire::Remains remains) {
    if (!instance.end) {
        instance.ended = env_.clock.now();
        if (!instance.is_durable) {
            instance.look_again = env_.timers.after(
                kDurableLimit, [this, service = instance.service] { mark(service); });
        }
    }
    instance.end = end;
    instance.remains = remains;
    if (remains == wire::Remains::Unknown)
        keeper_->signal({{instance.id.slot, instance.id.generation}, 0, wire::SignalScope::All});
    mark(instance.service);
}

void Control::route(Instance& instance, std::uint32_t bits) {
    if (instance.port == 0) return;
    wire::EndpointChange change{};
    change.at = {instance.id.slot, instance.id.generation};
    change.service = instance.service;
    change.release = instance.version.release;
    change.address = 0x7f000001;
    change.port = instance.port;
    change.bits = bits;
    change.weight = 100;
    const std::uint64_t sequence = edge_->set(change);
    if (bits != 0) instance.removal = sequence;
}

// How many of the named are still under way is what the counts say, which were sent later than the
// list was made and before the list itself.
void Control::on_applied(std::uint64_t sequence, const std::vector<wire::InFlight>& in_flight) {
    for (auto& [slot, instance] : world_.instances) {
        if (instance.removal == 0 || instance.is_acknowledged || instance.removal > sequence)
            continue;
        instance.is_acknowledged = true;
        for (const wire::InFlight& each : in_flight) {
            if (each.at.slot == slot && each.at.generation == instance.id.generation)
                instance.named.push_back(each.request);
        }
        mark(instance.service);
    }
}

// An instance that keeper has not: there is nothing to forget, and nobody would say that it is.
void Control::on_nothing(Instance& instance, const model::End& end) {
    Slot& slot = world_.slots[instance.id.slot];
    on_end(instance, end);
    slot.use = SlotUse::Free;
    slot.forget = {};
}

void Control::forget(model::InstanceId id) {
    Slot& slot = world_.slots[id.slot];
    slot.use = SlotUse::Forgetting;
    const auto act = [this, id] { keeper_->forget({id.slot, id.generation}); };
    after_commit(act);
    // A full or hung disk must not stop recovery.
    slot.forget = env_.timers.after(options_.forget_limit, act);
    turn_soon_ = env_.timers.after(Duration::zero(), [this] { turn(); });
}

void Control::on_stats(const wire::StatsHeader& header,
                       const std::vector<wire::EndpointStats>& rows) {
    world_.traffic = header;
    for (const wire::EndpointStats& row : rows) {
        Instance* const instance = instance_at(row.at);
        if (instance == nullptr) {
            // All is said once after Hello, which may be before keeper has said what runs.
            if (was_adopted_) continue;
            wire::EndpointStats& early = world_.early_stats[row.at.slot];
            if (early.at.generation <= row.at.generation) early = row;
            continue;
        }
        const std::uint32_t before = instance->stats.bits;
        instance->stats = row;
        if (((before ^ row.bits) & wire::kBitEdge) != 0) say_judged(*instance);
        if (instance->stage == model::Stage::Leaving) mark(instance->service);
    }
}

// By its traffic the edge leaves it out, or asks it again.
void Control::say_judged(Instance& instance) {
    if (instance.stage != model::Stage::Ready) return;
    const bool is_out = (instance.stats.bits & wire::kBitEdge) != 0;
    const std::string& service = world_.services[instance.service].row.name;
    instance.reason = is_out ? "left out by the edge: its requests fail, or wait in vain" : "";
    say({.kind = is_out ? "instance ejected" : "instance returned",
         .service = service,
         .instance = model::name_of(service, instance.id),
         .text = is_out ? "requests fail there, or wait in vain: others get them"
                        : "asked again, a little at first"});
}

// Everything the edge still keeps comes again after each Hello; on the timeline it stands once.
void Control::on_broken(std::uint32_t lost, const std::vector<wire::BrokenRequest>& rows) {
    if (lost != broken_lost_) {
        // Fewer: the edge began to count anew.
        const std::int64_t more = lost > broken_lost_ ? lost - broken_lost_ : std::int64_t{lost};
        broken_lost_ = lost;
        put(model::NumberRow{"broken_lost", broken_lost_});
        if (more > 0)
            say({.kind = "requests broken",
                 .text = fmt::format("{} more broke than could be listed", more)});
    }
    if (!broken_) {
        broken_waiting_.insert(broken_waiting_.end(), rows.begin(), rows.end());
        return;
    }
    for (const wire::BrokenRequest& row : rows) say_broken(row);
}

void Control::say_broken(const wire::BrokenRequest& row) {
    const std::string id = id_text(row.request);
    if (!broken_->insert(id).second) return;
    broken_order_.push_back(id);
    if (broken_order_.size() > kBrokenRecalled) {
        broken_->erase(broken_order_.front());
        broken_order_.pop_front();
    }
    const auto slot = world_.slots.find(row.at.slot);
    const auto owner =
        world_.services.find(slot == world_.slots.end() ? 0 : slot->second.row.service);
    const std::string service =
        owner == world_.services.end() ? std::string() : owner->second.row.name;
    const std::size_t length = ::strnlen(row.target, sizeof(row.target));
    say({.kind = "request broken",
         .service = service,
         .instance = service.empty() ? std::string()
                                     : model::name_of(service, {row.at.slot, row.at.generation}),
         .text = fmt::format("{} {}: {}", id, std::string_view(row.target, length),
                             name_of(row.outcome))});
}

void Control::recall_broken() {
    store_->read_timeline(
        {.limit = kBrokenRecalled}, [this](Result<std::vector<model::TimelineRow>> rows) {
            broken_.emplace();
            for (const model::TimelineRow& row : rows ? *rows : std::vector<model::TimelineRow>{}) {
                if (row.kind != "request broken") continue;
                broken_order_.push_back(row.text.substr(0, 32));
                broken_->insert(broken_order_.back());
            }
            for (const wire::BrokenRequest& row : std::exchange(broken_waiting_, {}))
                say_broken(row);
        });
}

}  // namespace thole::control
