// What goes wrong in a world, drawn from its seed.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "folders.h"
#include "world.h"

namespace thole::simulation {
namespace {

using namespace std::chrono_literals;

// keeper ends a role that has not turned for 5 s, and watch a keeper.
constexpr sim::Range kPause = {50ms, 4s};
// Control takes a shorter sleep for a busy machine.
constexpr Duration kNoticed = 2s;
// What a fault has set going is over by then.
constexpr Duration kAftermath = 5s;

}  // namespace

void World::draw_fault() {
    steps_to_fault_ = 1 + pick(chance(0.3) ? 60 : 6000);
    const bool is_calm = host_.loop().world_now() > disturbed_until_;
    only_slept_until_ = {};
    disturbed_until_ = std::max(disturbed_until_, host_.loop().world_now() + kAftermath);
    // On the way down only what a user would not notice.
    if (phase_ == Phase::Stopping) return fault_role();
    if (power_cuts_left_ > 0 && chance(0.5)) {
        --power_cuts_left_;
        return power_cut();
    }
    const std::size_t drawn = pick(100);
    if (drawn < 50) return fault_role();
    if (drawn < 65) return kill_instance();
    if (drawn < 82) return fault_disk();
    if (drawn < 94) return fault_network();
    if (drawn < 97) {
        const Duration duration = host_.loop().draw({1s, sleeps_long_ ? Duration(20min) : 30s});
        story_.tell("the machine sleeps for " + format_duration(duration));
        host_.loop().suspend(duration);
        // What the user waits for waits as long.
        deadline_ += duration;
        if (is_calm && duration > kNoticed)
            only_slept_until_ = host_.loop().world_now() + kAftermath;
    } else {
        host_.loop().jump_wall(host_.loop().draw({0s, 2h}) - Duration(1h));
    }
    disturbed_until_ = std::max(disturbed_until_, host_.loop().world_now() + kAftermath);
}

void World::fault_role() {
    const std::size_t drawn = pick(20);
    const auto keeper = [&] {
        keeper_.kill();
        begin_again(wire::Role::Keeper, {5ms, 300ms});
    };
    const auto edge = [&] {
        edge_->kill();
        is_edge_paused_ = false;
        begin_again(wire::Role::Edge, {1ms, 300ms});
    };
    if (drawn < 9 || drawn == 16 || drawn == 17) restart_control();
    if ((drawn >= 9 && drawn < 12) || drawn == 16 || drawn == 18) keeper();
    if ((drawn >= 12 && drawn < 15) || drawn == 17 || drawn == 18) edge();
    if (drawn == 15) return pause(*control_process_);
    if (drawn != 19) return;
    if (chance(0.5) && keeper_.is_alive()) return pause(keeper_.process());
    if (!edge_->is_alive()) return;
    is_edge_paused_ = true;
    pause(edge_->process());
}

void World::restart_control() {
    disturbed_until_ = std::max(disturbed_until_, host_.loop().world_now() + kAftermath);
    kill_control();
    begin_again(wire::Role::Control, {1ms, 500ms});
}

// With it goes all that lies in memory. What comes again comes by itself, as a unit of the init
// system brings it: keeper, and with it control and the edge.
void World::power_cut() {
    story_.tell("the power is cut");
    const bool had_faults = has_faults_;
    end_faults();
    has_faults_ = had_faults;
    kill_control();
    keeper_.forget_all();
    edge_->kill();
    is_edge_paused_ = false;
    // Whoever writes a program does not lose it here.
    for (const std::string folder : {"/", kProjects, kSources}) sync(folder);
    for (const Wanted& service : services_) {
        sync(fmt::format("{}/{}", kSources, service.name));
        sync(fmt::format("{}/{}/behaviour", kSources, service.name));
    }
    host_.power_cut();
    boot();
    for (std::uint32_t& starts : starts_) starts = 0;
    for (const wire::Role role : {wire::Role::Keeper, wire::Role::Edge, wire::Role::Control})
        begin_again(role, {1s, 5s});
    for (Wanted& service : services_) service.is_complete = false;
    disturbed_until_ = host_.loop().world_now() + kAftermath + kAftermath;
    ask_after_boot();
}

void World::sync(const std::string& path) {
    const Result<sim::NodePointer> node = host_.disk().find(path);
    if (node) host_.disk().sync(**node);
}

// A death in the middle of what cannot be taken back, on purpose.
void World::draw_aims() {
    constexpr std::string_view kKinds[] = {
        "deploy began",     "deploy done",    "instance starting", "instance ready",
        "instance leaving", "instance ended", "instance draining", "instance stopping",
        "release new",      "release built",  "release broken",    "build started",
        "manifest applied", "restart asked",  "scale asked",       "down asked"};
    power_cuts_left_ = chance(0.3) ? 1 + static_cast<int>(pick(2)) : 0;
    if (chance(0.5)) return;
    aims_ = {"deploy reversed", std::string(kKinds[pick(std::size(kKinds))])};
    aims_left_ = 1 + static_cast<int>(pick(3));
}

void World::aim(std::string_view kind) {
    if (aims_left_ == 0 || phase_ == Phase::Quiet || steps_to_aimed_ != 0) return;
    if (!aims_.contains(kind) || (kind != "deploy reversed" && chance(0.5))) return;
    --aims_left_;
    story_.tell(fmt::format("control is to die soon after '{}'", kind));
    steps_to_aimed_ = 1 + pick(chance(0.5) ? 20 : 400);
}

void World::pause(sim::SimProcess& process) {
    if (!process.is_alive()) return;
    const Duration duration = host_.loop().draw(kPause);
    story_.tell(fmt::format("{} is stopped for {}", process.name(), format_duration(duration)));
    process.pause();
    disturbed_until_ = std::max(disturbed_until_, host_.loop().world_now() + duration + kAftermath);
    later(duration, [this, &process] {
        if (!process.is_alive()) return;
        process.resume();
        if (process.name() == "edge") is_edge_paused_ = false;
    });
}

void World::fault_disk() {
    const Duration duration = host_.loop().draw({100ms, 5s});
    disturbed_until_ = std::max(disturbed_until_, host_.loop().world_now() + duration + kAftermath);
    const std::size_t drawn = pick(5);
    if (drawn < 3)
        disk_trouble_until_ =
            std::max(disk_trouble_until_, host_.loop().world_now() + duration + kAftermath);
    if (drawn == 0) {
        story_.tell("the disk is full for " + format_duration(duration));
        host_.disk().set_capacity(host_.disk().used_bytes() + pick(20'000));
        later(duration, [this] { host_.disk().set_capacity(~std::uint64_t{0}); });
    } else if (drawn < 3) {
        const sim::FaultOn on = drawn == 1 ? sim::FaultOn::Write : sim::FaultOn::Sync;
        story_.tell("file operations go wrong");
        host_.disk().inject({.on = on, .after = pick(40), .count = 1 + pick(4), .error = EIO});
        later(duration, [this] { host_.disk().heal(); });
    } else if (drawn == 3) {
        story_.tell("the disk is slow for " + format_duration(duration));
        is_slow_ = true;
        control_process_->background().set_takes(kSlowJobs);
        later(duration, [this] { be_quick(); });
    } else {
        story_.tell("the disk hangs for " + format_duration(duration));
        sim::SimProcess& process = *control_process_;
        process.background().hang();
        later(duration, [&process] { process.background().release(); });
    }
}

void World::be_quick() {
    is_slow_ = false;
    control_process_->background().set_takes({100us, 10ms});
}

void World::fault_network() {
    if (has_users_ && chance(0.5)) {
        story_.tell("no user can be looked up");
        host_.remove_user(kUser);
        return later(host_.loop().draw({100ms, 8s}), [this] { host_.add_user(kUser, kUserIs); });
    }
    const std::string other = chance(0.5) ? "keeper" : "edge";
    if (chance(0.4)) {
        story_.tell("the link to " + other + " breaks");
        return host_.wires().cut("control", other);
    }
    if (chance(0.2)) {
        story_.tell("all ports are somebody else's");
        keeper_.set_ports_taken(true);
        return later(host_.loop().draw({100ms, 5s}), [this] { keeper_.set_ports_taken(false); });
    }
    const Duration duration = host_.loop().draw({50ms, 4s});
    story_.tell(fmt::format("nothing comes from {} for {}", other, format_duration(duration)));
    host_.wires().part("control", other);
    disturbed_until_ = std::max(disturbed_until_, host_.loop().world_now() + duration + kAftermath);
    later(duration, [this] { host_.wires().heal(); });
}

void World::kill_instance() {
    std::vector<std::uint32_t> running;
    for (const auto& [number, slot] : keeper_.slots()) {
        if (slot.instance != nullptr) running.push_back(number);
    }
    if (running.empty()) return;
    const std::uint32_t number = running[pick(running.size())];
    story_.tell("somebody kills " + keeper_.name_of(number));
    keeper_.slots()[number].instance->end(chance(0.5) ? 9 : 11);
}

void World::later(Duration after, std::function<void()> act) {
    host_.loop().schedule(after, {"fault ends", nullptr, std::move(act)});
}

void World::end_faults() {
    has_faults_ = false;
    host_.disk().heal();
    host_.disk().set_capacity(~std::uint64_t{0});
    host_.wires().heal();
    keeper_.set_ports_taken(false);
    if (has_users_) host_.add_user(kUser, kUserIs);
    control_process_->background().release();
    be_quick();
}

}  // namespace thole::simulation
