// The promises, checked after each step and at each thing that control asks for.
#include <fmt/format.h>

#include <algorithm>

#include "control/store.h"
#include "folders.h"
#include "world.h"

namespace thole::simulation {
namespace {

using namespace std::chrono_literals;

constexpr std::int32_t kTerminate = 15;
constexpr Duration kTooManyLimit = 2s;
constexpr Duration kOnTheWay = 20ms;
// From being asked for to running, and a sleep that is too short to be noticed.
constexpr Duration kClaims = 2500ms;
constexpr Duration kCutOffLimit = 3s;  // Until the edge has heard of a new port.

}  // namespace

// How many of each service run, and how many have requests.
void World::check_counts() {
    if (has_users_) check_users();
    for (Wanted& service : services_) {
        int live = 0;
        int staying = 0;
        bool is_alone = service.is_single && !service.is_changed;
        std::vector<EndpointId> endpoints;
        for (const auto& [number, slot] : keeper_.slots()) {
            if (slot.instance == nullptr || service_of(number) != &service) continue;
            const EndpointId at{number, slot.generation};
            ++live;
            is_alone = is_alone || slot.instance->program().keeps_state;
            if (!slot.was_asked && !edge_->is_taken_out(at)) ++staying;
            if (slot.instance->is_listening()) endpoints.push_back(at);
        }
        if (is_alone && live > 1)
            return story_.fail(fmt::format("{} of {} run at once", live, service.name));
        if (!service.is_single) check_count(service, staying);
        if (!service.is_single && service.listens)
            check_serving(service, static_cast<int>(edge_->serving_least(endpoints)));
        check_calls(service);
    }
}

// What runs is its user's, and who calls is told by it, also where it could not be looked up for a
// while.
void World::check_users() {
    for (const auto& [number, slot] : keeper_.slots()) {
        const Wanted* const service = service_of(number);
        if (service == nullptr || !service->has_user) continue;
        if (slot.instance->program().uid != kUserIs.uid)
            return story_.fail(fmt::format("{} is not its user's", keeper_.name_of(number)));
    }
    for (const wire::SnapshotListener& each : edge_->snapshot().listeners) {
        if (each.check_caller != 0 && each.caller_uid != kUserIs.uid)
            return story_.fail(fmt::format("listener {} takes another for its caller", each.id));
    }
}

// Whom an instance was told to call can be called as long as it runs, whatever a later manifest
// says.
void World::check_calls(Wanted& service) {
    const auto is_open = [&](std::uint16_t port) {
        const std::vector<wire::SnapshotListener>& served = edge_->snapshot().listeners;
        return std::any_of(served.begin(), served.end(), [&](const auto& each) {
            const auto parked = keeper_.listeners().find(each.id);
            return parked != keeper_.listeners().end() && parked->second.port == port;
        });
    };
    const Time now = host_.loop().world_now();
    const bool is_cut_off =
        std::any_of(keeper_.slots().begin(), keeper_.slots().end(), [&](const auto& each) {
            const Slot& slot = each.second;
            if (slot.instance == nullptr || slot.was_asked || service_of(each.first) != &service)
                return false;
            const std::vector<std::uint16_t>& calls = slot.instance->program().calls;
            return !std::all_of(calls.begin(), calls.end(), is_open);
        });
    if (!is_cut_off || now < disturbed_until_) service.cut_off_since = now;
    if (now - service.cut_off_since > kCutOffLimit)
        story_.fail(fmt::format("an instance of {} cannot call whom it was told to", service.name));
}

// One more than wanted while one takes another's place. What is to leave stays until that is on the
// disk, and the one in its place does not wait for it.
void World::check_count(Wanted& service, int staying) {
    constexpr int kScaledMost = 4;
    if (service.is_changed) service.scale_most = std::max(service.scale_most, kScaledMost);
    const Time now = host_.loop().world_now();
    if (staying <= service.scale + 1 && service.scale == service.scale_asked && !service.is_out)
        service.scale_most = service.scale;
    if (staying <= service.scale_most + 1 || now < disturbed_until_) service.too_many_since = now;
    const bool is_far_too_many = staying > 2 * service.scale_most + 2 && now > disturbed_until_;
    if (!is_far_too_many && now - service.too_many_since <= kTooManyLimit) return;
    story_.fail(
        fmt::format("{} of {} run, which should be {}", staying, service.name, service.scale_most));
}

// None is taken away before another one is there, whoever of thole dies meanwhile.
void World::check_serving(Wanted& service, int serving) {
    const Time now = host_.loop().world_now();
    if (now < disk_trouble_until_ || now < service.shaken_until || phase_ == Phase::Stopping ||
        service.scale != service.scale_asked || service.is_changed || service.is_out)
        service.is_complete = false;
    else if (serving >= service.scale)
        service.is_complete = true;
    if (!service.is_complete || serving >= service.scale) return;
    story_.fail(
        fmt::format("{} of {} serve, {} were promised", serving, service.name, service.scale));
}

// A machine that slept excuses nothing of what control does.
bool World::is_calm() {
    const Time now = host_.loop().world_now();
    return now > disturbed_until_ || now < only_slept_until_;
}

void World::check_signal(std::uint32_t slot, const wire::SignalRequest& request) {
    const Wanted* const service = service_of(slot);
    if (service == nullptr) return;
    const Slot& seen = keeper_.slots()[slot];
    const EndpointId at{slot, seen.generation};
    const std::string name = keeper_.name_of(slot);
    if (phase_ == Phase::Stopping && request.signal == kTerminate) {
        for (const auto& [number, other] : keeper_.slots()) {
            if (other.instance != nullptr && service_of(number) != nullptr &&
                callers_of(service->name).contains(other.instance->program().service))
                return story_.fail(
                    fmt::format("{} is ended while {} calls it", name, keeper_.name_of(number)));
        }
    }
    const Time now = host_.loop().awake_now();
    // Who may have been somebody's of before has no time of its own, nor has who is to leave.
    if (request.signal != kTerminate && !seen.was_asked && is_calm() &&
        seen.claimed > control_began_ && now - seen.claimed < kStartupLimit - kClaims &&
        !has_intent_on_disk(at))
        return story_.fail(fmt::format("signal 9 to {} before its time to start was over", name));
    if (!edge_->was_routed(at)) return;
    if (!edge_->is_acknowledged(at))
        return story_.fail(fmt::format("signal {} to {}, whose removal was not acknowledged",
                                       request.signal, name));
    if (!has_intent_on_disk(at))
        return story_.fail(
            fmt::format("signal {} to {}: no intent is on the disk", request.signal, name));
    if (edge_->in_flight(at) > 0 && !edge_->was_cut(at))
        return story_.fail(fmt::format("signal {} to {} with {} requests under way", request.signal,
                                       name, edge_->in_flight(at)));
    // Both are on their way for a while.
    const bool is_early = !seen.was_asked || now - seen.asked < kGrace - kOnTheWay;
    if (request.signal != kTerminate && is_early && is_calm())
        return story_.fail(fmt::format("signal 9 to {} before its grace was over", name));
}

// What a first process left has the rest of the grace, and is asked where there is any.
void World::check_rest(std::uint32_t slot) {
    const Slot& seen = keeper_.slots()[slot];
    const Time now = host_.loop().awake_now();
    if (!seen.was_terminated || !is_calm()) return;
    const bool was_time_left = seen.ended - seen.asked < kGrace - kOnTheWay;
    if (!seen.rest_was_asked && was_time_left)
        return story_.fail(
            fmt::format("what is left of {}.{} was not asked to end", slot, seen.generation));
    if (now - seen.asked < kGrace - kOnTheWay)
        story_.fail(fmt::format("what is left of {}.{} was killed before its grace was over", slot,
                                seen.generation));
}

// What control would find after a power cut at this moment.
bool World::has_intent_on_disk(EndpointId at) {
    sim::SimEnv scratch(1);
    const std::string path = std::string(kData) + "/state.db";
    env::Files& files = scratch.process().env().files;
    CHECK(files.make_folder(kData, 0755).ok());
    for (const char* const suffix : {"", "-wal"}) {
        const Result<sim::NodePointer> node = host_.disk().find(path + suffix);
        if (node)
            CHECK(
                files.replace(path + suffix, (*node)->durable, env::Durability::Synced, 0600).ok());
    }
    Result<std::unique_ptr<control::Store>> store =
        control::Store::open(scratch.process().env(), path);
    if (!store) return false;
    for (const model::IntentRow& row : (*store)->take_stored().intents) {
        if (EndpointId(row.slot, row.generation) == at) return true;
    }
    return false;
}

void World::check_attached(EndpointId at) {
    const auto found = keeper_.slots().find(at.first);
    if (found == keeper_.slots().end() || found->second.generation != at.second) return;
    if (edge_->is_acknowledged(at) || found->second.was_asked)
        story_.fail(fmt::format("a request came to {}, which had left", keeper_.name_of(at.first)));
    const Wanted* const service = service_of(at.first);
    if (service != nullptr && service->is_paused)
        story_.fail(fmt::format("a request came to {}, which is paused", service->name));
}

// What it carries would be listed as broken, though it may end well.
void World::check_gone(EndpointId at) {
    const auto found = keeper_.slots().find(at.first);
    const bool runs = found != keeper_.slots().end() && found->second.generation == at.second &&
                      found->second.instance != nullptr;
    if (runs)
        story_.fail(fmt::format("the edge is told that {} is gone", keeper_.name_of(at.first)));
}

void World::check_shut_down() {
    if (phase_ != Phase::Stopping)
        return story_.fail("keeper is to end everything, and nobody said down");
    for (const auto& [number, slot] : keeper_.slots()) {
        if (slot.instance != nullptr)
            return story_.fail(fmt::format("{} still runs at the end", keeper_.name_of(number)));
    }
    story_.tell("all has ended");
    phase_ = Phase::Over;
}

// Who calls it, and whom it does not call itself, however far.
std::set<std::string> World::callers_of(const std::string& name) const {
    std::set<std::string> callers;
    for (const Wanted& service : services_) {
        for (const std::string& called : calls_of(service)) {
            if (called == name) callers.insert(service.name);
        }
    }
    return callers;
}

}  // namespace thole::simulation
