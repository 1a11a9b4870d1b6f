// One build's life: its slot and image, its limit, its end. It runs in the private copy.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "control/command_line.h"
#include "control/control.h"
#include "wire/image.h"
#include "wire/slots.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

// Of one build: the slow ones of large projects fit; what hangs is ended.
constexpr Duration kBuildLimit = 15min;
constexpr Duration kKillAgain = 1s;      // Where keeper did not hear it.
constexpr Duration kBuildAgain = 100ms;  // Where its slot is not free yet.
constexpr int kBuildsMax = 3;            // Of one release, where nobody saw how it ended.

// Its keeper died with it, or before it had begun: that says nothing about the release.
bool is_unseen(const model::End& end) {
    constexpr int kClaim = static_cast<int>(wire::SpawnStep::Claim);
    return end.never_ran ? end.wait_status == (kClaim << 16 | ECANCELED) : !end.is_known;
}

}  // namespace

// All builds of a service run in one slot: its spool is what `logs --build` shows. nullptr: all are
// used up.
Slot* Control::build_slot_of(const Service& service) {
    std::uint32_t highest = wire::kRoleSlots - 1;
    for (auto& [number, each] : world_.slots) {
        highest = std::max(highest, number);
        if (each.row.service == service.row.id && each.row.is_build) return &each;
    }
    if (highest + 1 >= wire::kSlotsMax) return nullptr;
    Slot& made = add_slot(highest + 1, service.row.id);
    made.row.is_build = true;
    return &made;
}

void Control::build(Service& service) {
    Staging& staging = service.staging;
    Slot* const place = build_slot_of(service);
    if (place == nullptr)
        return release_is_broken(
            service, fmt::format("no slot is left for its build: all {} were used; try: a new "
                                 "system, under another name",
                                 wire::kSlotsMax));
    Slot& slot = *place;
    // The one before it, which was given up, is on its way out.
    if (slot.use != SlotUse::Free) return build_again(service);
    const model::ServiceSpec& spec = *spec_of(world_, service, staging.release);
    const model::InstanceId id{slot.row.slot, slot.row.generation + 1};
    if (const Status written = write_build_image(service, spec, id); !written)
        return release_is_broken(service, written.error().text());
    slot.row.generation = id.generation;
    slot.use = SlotUse::Taken;
    slot.used = env_.clock.now();
    put(slot.row);
    staging.step = StagingStep::Build;
    staging.build_slot = id.slot;
    staging.build_generation = id.generation;
    service.deploy = DeploySaid{staging.release, "building", {}};
    say({.kind = "build started",
         .service = service.row.name,
         .text = fmt::format("v{} builds: {}", staging.release, fmt::join(spec.build.words, " "))});
    note_slot(id, "building");
    keeper_->spawn({id.slot, id.generation});
    staging.until = env_.clock.now() + kBuildLimit;
    staging.limit = env_.timers.after(kBuildLimit, [this, id] { end_late_build(id); });
}

Status Control::write_build_image(const Service& service, const model::ServiceSpec& spec,
                                  model::InstanceId id) {
    const std::string folder = release_folder(service, service.staging.release);
    const std::string cache = fmt::format("{}/cache/{}", options_.data, service.row.name);
    const env::Owner owner = TRY(owner_of(service, spec));
    const std::string spool = spool_of(service, {.slot = id.slot, .is_build = true});
    wire::ImageSource source;
    source.cwd = folder;
    source.cgroup = fmt::format("{}-build", service.row.name);
    source.out = source.err = spool + ".out";
    source.argv = command_line(
        spec.build, [this](const std::string& name) { return env_.processes.find_program(name); });
    source.environment = environment_of({{"PATH", kSearchPath},
                                         {"HOME", folder},
                                         {"LANG", "C.UTF-8"},
                                         {"XDG_CACHE_HOME", cache},
                                         {"npm_config_cache", cache + "/npm"},
                                         {"THOLE_BUILD", service.row.name}});
    source.uid = owner.uid;
    source.gid = owner.gid;
    const std::string image = TRY(wire::write_image(source));
    return env_.files.replace(fmt::format("{}/images/{}.{}", options_.run, id.slot, id.generation),
                              image, env::Durability::None, 0600);
}

void Control::build_again(Service& service) {
    service.staging.again = env_.timers.after(kBuildAgain, [this, id = service.row.id] {
        Service& staged = world_.services[id];
        if (staged.staging.step == StagingStep::Copy) build(staged);
    });
}

Service* Control::builder_at(wire::SlotRef at) {
    for (auto& [id, service] : world_.services) {
        const Staging& staging = service.staging;
        if (staging.build_slot == at.slot && staging.build_generation == at.generation &&
            at.slot != 0)
            return &service;
    }
    return nullptr;
}

// keeper has something there that we did not know of: it is nobody's, and will be ended.
void Control::on_build_refused(wire::SlotRef at) {
    const auto slot = world_.slots.find(at.slot);
    const bool is_newest = slot != world_.slots.end() && slot->second.row.is_build &&
                           slot->second.row.generation == at.generation;
    if (is_newest && slot->second.use == SlotUse::Taken) slot->second.use = SlotUse::Free;
    Service* const builder = builder_at(at);
    if (builder == nullptr) return;
    builder->staging.build_slot = 0;
    builder->staging.step = StagingStep::Copy;
    build_again(*builder);
}

void Control::end_late_build(model::InstanceId id) {
    Service* const builder = builder_at({id.slot, id.generation});
    if (builder == nullptr) return;
    excuse_gap();
    Staging& staging = builder->staging;
    Duration again = staging.until - env_.clock.now();
    if (again <= Duration::zero()) {
        staging.is_late = true;
        kill_all(id);
        again = kKillAgain;
    }
    staging.limit = env_.timers.after(again, [this, id] { end_late_build(id); });
}

// Nobody waits for it any more: the system or the service is to end, or there is a newer manifest.
// A kill that keeper does not hear comes again: what it has then is nobody's.
void Control::give_up_staging(Service& service) {
    Staging& staging = service.staging;
    if (staging.build_slot != 0) kill_all({staging.build_slot, staging.build_generation});
    staging = Staging{};
}

void Control::on_build_end(Service& service, const model::End& end) {
    Staging& staging = service.staging;
    const model::InstanceId id{staging.build_slot, staging.build_generation};
    staging.build_slot = 0;
    staging.limit = {};
    const bool is_good = end.is_known && !end.never_ran && end.wait_status == 0;
    // What it left would write where we are about to remove.
    if (!is_good) kill_all(id);
    forget(id);
    if (is_good) return sync_build(service);
    if (is_unseen(end) && !staging.is_late && ++staging.builds_unseen < kBuildsMax) {
        say({.kind = "build lost",
             .service = service.row.name,
             .text = fmt::format("nobody saw how v{} ended building; it begins again",
                                 staging.release)});
        return begin_release(service, std::string(staging.digest));
    }
    const std::string why = staging.is_late
                                ? fmt::format("not done after {}", format_duration(kBuildLimit))
                                : model::describe(end);
    release_is_broken(service, fmt::format("build: {}; its output: thole logs --build {}", why,
                                           service.row.name));
}

// What a build wrote is in memory only: with the power all of it may go, and the row that calls it
// built would stay.
void Control::sync_build(Service& service) {
    const auto synced = std::make_shared<Status>(success());
    env_.errands.run(
        [&trees = env_.trees, folder = release_folder(service, service.staging.release), synced] {
            *synced = trees.sync(folder);
        },
        [this, alive = alive_, id = service.row.id, revision = service.staging.revision, synced] {
            if (!*alive) return;
            Service& staged = world_.services[id];
            if (staged.staging.revision != revision || staged.staging.step != StagingStep::Build)
                return;
            if (!*synced) return release_is_broken(staged, synced->error().text());
            release_is_built(staged);
        });
}

}  // namespace thole::control
