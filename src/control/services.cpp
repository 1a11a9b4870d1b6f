// One service's turn: what should run, what does, what to do next.
#include <fmt/format.h>

#include <utility>

#include "control/command_line.h"
#include "control/control.h"
#include "deploy/verdict.h"
#include "recovery/keep_ready.h"

namespace thole::control {
namespace {

constexpr std::size_t kPackageBytesMax = 1024 * 1024;

}  // namespace

void Control::run_service(Service& service) {
    const std::uint32_t id = service.row.id;
    for (Instance* instance : instances_of(world_, id)) {
        if (instance->stage == model::Stage::Starting) {
            end_stuck(*instance);
        } else if (instance->stage == model::Stage::Leaving) {
            step_leaving(*instance);
        }
    }
    const bool is_to_stop = world_.is_down || service.row.is_removed;
    if (is_to_stop && service.staging.step != StagingStep::None) {
        give_up_staging(service);
        service.deploy.reset();
    }
    const bool stops = is_to_stop && may_stop(world_, service);
    std::vector<model::InstanceSeen> instances;
    for (const Instance* instance : instances_of(world_, id))
        instances.push_back({instance->id, instance->version, instance->stage, instance->since});
    if (service.row.wanted == 0 && instances.empty()) {
        if (stops && !service.is_settled) remove_old_releases(service);
        service.is_settled = stops;
        return;
    }
    if (stops && service.row.is_removed && instances.empty()) return has_left(service);
    const bool can_serve = spec_of(world_, service, service.row.serving) != nullptr;
    const recovery::Plan plan =
        recovery::plan({.count = stops ? 0 : count_of(world_, service),
                        .is_single = is_single(world_, service),
                        .current = service.wanted(),
                        .proven = can_serve ? service.proven() : model::Version{},
                        .next_start = service.failures.next_start,
                        .next_fill = service.proven_failures.next_start,
                        .keeps_proven = part_of(shares_of(service), service.row.serving) > 0,
                        .now = env_.clock.now(),
                        .instances = instances});
    for (const model::InstanceId& leaver : plan.end) {
        const model::Version version = world_.instances[leaver.slot].version;
        leave(world_.instances[leaver.slot],
              stops                         ? "the service is to stop"
              : version == service.wanted() ? "there are more than wanted"
              : version.release != service.row.wanted
                  ? fmt::format("v{} takes its place", service.row.wanted)
                  : "a restart was asked for");
    }
    for (const model::Version& version : plan.start) {
        if (!start_instance(service, version)) break;
    }
    if (plan.look_again != Time{}) {
        service.again =
            env_.timers.after(plan.look_again - env_.clock.now(), [this, id] { mark(id); });
    }
    const bool was_settled = std::exchange(service.is_settled, plan.is_settled);
    judge(service);
    // Ports, callers and copies that only what is gone by now had asked for.
    if (!service.is_settled || was_settled) return say_state(service);
    remove_old_releases(service);
    ensure_listeners();
    if (had_another_user(service, service.spec)) snapshot_is_stale_ = true;
    say_state(service);
}

// One that was removed, and its last instance is gone: by its name it may come back, as a release
// that is its first again.
void Control::has_left(Service& service) {
    remove_old_releases(service);
    share(service, {}, "the service is no more");
    service.row.wanted = service.row.serving = 0;
    put(service.row);
    service.is_settled = true;
    ensure_listeners();
    snapshot_is_stale_ = true;
    say_state(service);
}

void Control::judge(Service& service) {
    if (!service.deploy && service.row.wanted != service.row.serving)
        service.deploy = DeploySaid{service.row.wanted, "rolling", {}};
    model::ServiceRow& row = service.row;
    if (world_.is_down || row.is_removed) return;
    // Asked back to what serves, before another one was done.
    if (row.wanted == row.serving) {
        if (!service.is_settled) return;
        const bool is_back = service.deploy && service.deploy->release == row.wanted &&
                             service.deploy->status == "rolling";
        // Not before the other one has gone: without them it would get more until then.
        if (is_back || are_of_another(service, row.wanted))
            share(service, {}, "what served goes on");
        if (is_back) deploy_is_done(service);
        return;
    }
    // A newer release may be on its way, or be broken already: what is said is about that one.
    const bool is_newest = service.deploy->release == row.wanted;
    const bool can_turn_back = row.serving != 0 && row.serving != row.wanted &&
                               spec_of(world_, service, row.serving) != nullptr;
    const deploy::Verdict verdict = deploy::verdict_of({.can_turn_back = can_turn_back,
                                                        .is_settled = service.is_settled,
                                                        .failures = service.failures.in_row,
                                                        .last_failure = service.last_failure});
    if (std::holds_alternative<deploy::Done>(verdict)) {
        row.serving = row.wanted;
        put(row);
        share(service, {}, "the deploy is done");
        deploy_is_done(service);
        mark_all();  // Whom only the release before called.
    } else if (const auto* back = std::get_if<deploy::TurnBack>(&verdict)) {
        if (is_newest) service.deploy = DeploySaid{row.wanted, "reversed", back->reason};
        model::ReleaseRow& release = service.releases[row.wanted];
        release.status = model::ReleaseStatus::Reversed;
        release.reason = back->reason;
        put(release);
        say({.kind = "deploy reversed",
             .service = row.name,
             .text = fmt::format("v{} is taken back, v{} goes on: {}", row.wanted, row.serving,
                                 back->reason)});
        row.wanted = row.serving;
        leave_all_to_serving(service, "the deploy is taken back");
        service.is_settled = false;
        service.failures = std::exchange(service.proven_failures, {});
        put(row);
        mark(row.id);
    }
}

void Control::deploy_is_done(Service& service) {
    const std::uint32_t release = service.row.serving;
    if (service.deploy->release == release) service.deploy->status = "done";
    const Duration took = env_.clock.now() - service.deploy_began;
    say({.kind = "deploy done",
         .service = service.row.name,
         .text = service.deploy_began == Time{}
                     ? fmt::format("v{} serves", release)
                     : fmt::format("v{} serves after {}", release, format_duration(took))});
}

// The moments that matter to its users: all there, and nobody there.
void Control::say_state(Service& service) {
    const int count = count_of(world_, service);
    int ready = 0;
    for (const Instance* instance : instances_of(world_, service.row.id))
        ready += instance->stage == model::Stage::Ready ? 1 : 0;
    const bool serves = service.was_serving ? ready > 0 : ready >= count && ready > 0;
    if (serves == service.was_serving) return;
    service.was_serving = serves;
    say({.kind = serves ? "service serving" : "service out",
         .service = service.row.name,
         .text = serves ? fmt::format("{} of {} ready", ready, count)
                        : "no instance is ready; requests wait"});
}

// What `npm start` stands for is in a file, and the loop waits for no disk. The folder is the
// service's own: how long reading it takes is not ours to say. False until it was read.
bool Control::knows_command(Service& service, std::uint32_t release) {
    if (service.commands.contains(release)) return true;
    const model::ServiceSpec* const spec = spec_of(world_, service, release);
    if (spec == nullptr || !service.asked_commands.insert(release).second) return false;
    const auto command = std::make_shared<model::Command>(spec->run);
    env_.background.run(
        [&files = env_.files, path = release_folder(service, release) + "/package.json", command] {
            const auto package = files.read(path, kPackageBytesMax);
            if (package) *command = without_npm(*command, *package);
        },
        [this, alive = alive_, id = service.row.id, release, command] {
            if (!*alive) return;
            Service& served = world_.services[id];
            served.asked_commands.erase(release);
            if (spec_of(world_, served, release) == nullptr) return;
            served.commands[release] = *command;
            mark(id);
        });
    return false;
}

}  // namespace thole::control
