#include "world.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include "folders.h"

namespace thole::simulation {

using namespace std::chrono_literals;

World::World(std::uint64_t seed, bool is_loud)
    : host_(seed),
      story_(host_.loop()),
      keeper_(
          host_, story_,
          {.run = kRun,
           .signalled = [this](std::uint32_t slot,
                               const wire::SignalRequest& request) { check_signal(slot, request); },
           .died = [this](std::uint32_t slot) { on_death(slot); },
           .rest_killed = [this](std::uint32_t slot) { check_rest(slot); },
           .shut_down = [this] { check_shut_down(); }}),
      follower_(host_, story_, [this](std::string_view kind) { aim(kind); }) {
    // SQLite salts its log: from the seed, so that two runs of it are the same.
    sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, static_cast<int>(seed % 0x7fffffff) + 1,
                         nullptr);
    if (is_loud) story_.be_loud();
    // What the recorded seeds are stays as it was.
    changes_keys_ = seed > 5000 && seed % 3 != 0;
    prunes_ = seed > 40000 && seed % 4 != 0;
    sleeps_long_ = seed > 60000 && seed % 2 != 0;
    pauses_ = seed > 80000 && seed % 4 != 1;
    has_users_ = seed > 60000 && seed % 3 == 0;
    if (has_users_) host_.add_user(kUser, kUserIs);
    host_.inherit("control", 3, std::string(kRun) + "/api.sock");
    host_.disk().mount_tmpfs("/run");
    boot();
    plan_services();
    keeper_.begin();
    edge_->begin();
    begin_control();
    load();
}

// What is there before anything of thole runs.
void World::boot() {
    const env::Owner owner = has_users_ ? env::Owner{0, 0} : sim::Identity{}.owner;
    user_ = &host_.process("user", {.owner = owner});
    env::Files& files = user_->env().files;
    CHECK(files.make_folder(std::string(kRun) + "/images", 0700).ok());
    for (const char* const folder : {kProjects, kSources, kDataParent})
        CHECK(files.make_folder(folder, 0755).ok());
    CHECK(files.sync_folder("/").ok());
    CHECK(files.sync_folder(kProjects).ok());
    if (edge_) edges_before_.push_back(std::move(edge_));
    edge_ = std::make_unique<SimEdge>(
        host_, story_,
        EdgeSettings{.run = kRun,
                     .data = kData,
                     .attached = [this](EndpointId at) { check_attached(at); },
                     .gone = [this](EndpointId at) { check_gone(at); }});
    follower_.begin(owner);
}

World::~World() {
    kill_control();
    keeper_.kill();
    edge_->kill();
}

std::string World::run() {
    while (phase_ != Phase::Over && story_.failure().empty()) {
        if (!host_.loop().step()) story_.fail("nothing will ever happen");
        after_step();
    }
    return story_.failure();
}

void World::after_step() {
    keeper_.sweep();
    if (phase_ == Phase::Over) return;
    check_counts();
    if (has_faults_ && --steps_to_fault_ == 0) draw_fault();
    if (steps_to_aimed_ != 0 && --steps_to_aimed_ == 0) restart_control();
    advance();
}

void World::begin_control() {
    control_process_ =
        has_users_ ? &host_.process("control", {.owner = {0, 0}}) : &host_.process("control");
    control_began_ = host_.loop().awake_now();
    story_.tell("control begins");
    tell_role(wire::Role::Control, control_process_->pid());
    if (is_slow_) control_process_->background().set_takes(kSlowJobs);
    control::Options options{.run = kRun, .data = kData, .id = "world"};
    options.forget_limit = host_.loop().draw({5ms, 100ms});
    Result<std::unique_ptr<control::Control>> started =
        control::Control::start(control_process_->env(), std::move(options));
    if (started) {
        control_ = std::move(*started);
        return;
    }
    story_.tell("control ends: " + started.error().message);
    // A disk that fails just now says no more than that.
    if (started.error().code == Code::Corrupt)
        return story_.fail("the state is damaged: " + started.error().message);
    control_process_->kill();
    begin_again(wire::Role::Control, {200ms, 2s});
}

void World::kill_control() {
    if (control_process_ == nullptr || !control_process_->is_alive()) return;
    story_.tell("control is killed");
    control_process_->kill();
    control_.reset();
}

void World::tell_role(wire::Role role, std::uint32_t pid) {
    const auto number = static_cast<std::uint32_t>(role);
    keeper_.tell_role({number, wire::RoleEvent::Running, pid, 0, ++starts_[number], 0, 0});
}

// By watch, and the others by keeper: they wait where it is dead.
void World::begin_again(wire::Role role, sim::Range after) {
    host_.loop().schedule(host_.loop().draw(after),
                          {"begin again", nullptr, [this, role] {
                               if (role == wire::Role::Keeper) {
                                   if (!keeper_.is_alive()) keeper_.begin();
                                   return;
                               }
                               if (!keeper_.is_alive()) return begin_again(role, {50ms, 100ms});
                               if (role == wire::Role::Edge && !edge_->is_alive()) {
                                   edge_->begin();
                                   tell_role(role, edge_->process().pid());
                               }
                               if (role == wire::Role::Control && !control_process_->is_alive())
                                   begin_control();
                           }});
}

// Users of the shop: a request every now and then, most of them quick.
void World::load() {
    host_.loop().schedule(
        host_.loop().draw({5ms, 60ms}),
        {"load", nullptr, [this] {
             load();
             const std::vector<wire::SnapshotService>& services = edge_->snapshot().services;
             if (services.empty() || is_edge_paused_) return;
             const bool is_slow = chance(0.03);
             const Duration most = is_slow ? (phase_ == Phase::Noise ? 8s : 2s) : Duration(80ms);
             edge_->request(services[pick(services.size())].id, host_.loop().draw({1ms, most}));
         }});
}

void World::on_death(std::uint32_t slot) {
    const Slot& ended = keeper_.slots()[slot];
    const EndpointId at{slot, ended.generation};
    edge_->lost(at);
    Wanted* const service = service_of(slot);
    if (service == nullptr || ended.was_asked || !ended.instance->is_listening()) return;
    service->is_complete = false;
    service->shaken_until = host_.loop().world_now() + kShaken;
}

Wanted* World::find(std::string_view name) {
    for (Wanted& service : services_) {
        if (service.name == name) return &service;
    }
    return nullptr;
}

// Of the instance that runs there; nullptr for a build.
Wanted* World::service_of(std::uint32_t slot) {
    const Slot& seen = keeper_.slots()[slot];
    if (seen.instance == nullptr || seen.instance->program().is_build) return nullptr;
    return find(seen.instance->program().service);
}

std::string World::last_lines() {
    return story_.last_lines() + "\nthe last events:\n" + host_.loop().last_events();
}

}  // namespace thole::simulation
