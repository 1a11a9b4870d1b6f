// One instance's life: its slot and image, starting, ready, its end.
#include <fmt/format.h>

#include <algorithm>

#include "base/parse.h"
#include "control/command_line.h"
#include "control/control.h"
#include "wire/image.h"
#include "wire/slots.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

// Below the ephemeral range, which begins at 32768. Source: ip(7), ip_local_port_range.
constexpr std::uint16_t kPortFirst = 20000;
// More than twice the slots, and still below that range.
constexpr std::uint16_t kPortCount = 10000;
// One that listens nowhere has started when it lived so long.
constexpr Duration kNoPortReady = 1s;
constexpr Duration kExplainAfter = 2s;  // Of an instance that does not listen.
constexpr Duration kExplainLimit = 3s;

wire::SlotRef ref(model::InstanceId id) { return {id.slot, id.generation}; }

// Of the release that is wanted and of the one that served last apart: neither holds the other up.
recovery::Failures* failures_of(Service& service, model::Version version) {
    if (version == service.wanted()) return &service.failures;
    return version == service.proven() ? &service.proven_failures : nullptr;
}

// What the control before us had claimed and lost with its life; nullptr where it had not.
std::unique_ptr<env::PortClaim> claim_again(const env::Env& env, std::uint16_t port) {
    if (port < kPortFirst || port >= kPortFirst + kPortCount) return nullptr;
    auto claim = env.network.claim_port(port);
    return claim ? std::move(*claim) : nullptr;
}

}  // namespace

// nullptr: wait, one is just becoming free.
Slot* Control::slot_for(Service& service) {
    bool one_is_coming = false;
    std::uint32_t highest = wire::kRoleSlots - 1;
    for (auto& [number, slot] : world_.slots) {
        highest = std::max(highest, number);
        if (slot.row.service != service.row.id || slot.row.is_build) continue;
        if (slot.use == SlotUse::Free && !world_.emptied.contains(number)) return &slot;
        one_is_coming = one_is_coming || slot.use == SlotUse::Forgetting;
    }
    if (one_is_coming || highest + 1 >= wire::kSlotsMax) return nullptr;
    return &add_slot(highest + 1, service.row.id);
}

// What runs and is nobody's, as far as is known: on its way out. It may be one of a service whose
// manifest came to nothing when control died.
bool Control::has_strangers() const {
    return std::any_of(world_.slots.begin(), world_.slots.end(), [&](const auto& each) {
        const Slot& slot = each.second;
        return slot.use == SlotUse::Taken && !slot.row.is_build &&
               !world_.instances.contains(each.first);
    });
}

// What is left of one of its instances may still be at its state.
bool Control::is_forgetting(const Service& service) const {
    return std::any_of(world_.slots.begin(), world_.slots.end(), [&](const auto& each) {
        const Slot& slot = each.second;
        return slot.use == SlotUse::Forgetting && slot.row.service == service.row.id &&
               !slot.row.is_build;
    });
}

Slot& Control::add_slot(std::uint32_t number, std::uint32_t service) {
    Slot& made = world_.slots[number];
    const auto begun = world_.begun.find(number);
    made.row = {number, service, begun == world_.begun.end() ? 0 : begun->second, false};
    return made;
}

Status Control::choose_port(Instance& made) {
    for (int i = 0; i < kPortCount; ++i) {
        next_port_ =
            static_cast<std::uint16_t>(kPortFirst + (next_port_ - kPortFirst + 1) % kPortCount);
        const bool is_used =
            std::any_of(world_.instances.begin(), world_.instances.end(),
                        [&](const auto& each) { return each.second.port == next_port_; });
        if (is_used) continue;
        // One of another system that has not bound it yet?
        auto claim = env_.network.claim_port(next_port_);
        if (!claim && claim.error().code == Code::Conflict) continue;
        // No other one could be had either.
        if (!claim && claim.error().code == Code::Overload) return claim.error();
        // Somebody else's? Then a listener could not be bound.
        const auto listening = env_.network.listen({.port = next_port_}, [](auto) {});
        if (!listening && listening.error().code == Code::Overload) return listening.error();
        if (!listening) continue;
        made.port = next_port_;
        if (claim) made.port_claim = std::move(*claim);
        return success();
    }
    return unavailable(
        fmt::format("no port of {} to {} is free for it; try: ss -ltnp, to see who has them",
                    kPortFirst, kPortFirst + kPortCount - 1));
}

bool Control::start_instance(Service& service, model::Version version) {
    const model::ServiceSpec* const spec = spec_of(world_, service, version.release);
    if (spec == nullptr || !has_listeners(service)) return false;
    if (spec->is_single() && (has_strangers() || is_forgetting(service))) return false;
    if (spec->state_bytes > 0 && !owns_state(service, *spec)) return false;
    if (is_npm_start(spec->run) && !knows_command(service, version.release)) return false;
    Slot* const slot = slot_for(service);
    if (slot == nullptr) {
        if (world_.slots.contains(wire::kSlotsMax - 1))
            service.trouble = fmt::format(
                "no slot is left for it: all {} were used; try: a new system, under another name",
                wire::kSlotsMax);
        return false;
    }
    Instance made;
    made.id = {slot->row.slot, slot->row.generation + 1};
    made.service = service.row.id;
    made.version = version;
    made.since = made.spawned = env_.clock.now();
    if (spec->port_use == model::PortUse::Given) {
        if (const Status chosen = choose_port(made); !chosen) {
            service.trouble = chosen.error().message;
            mark_later(service);
            return false;
        }
    }
    if (spec->port_use == model::PortUse::Fixed) made.port = spec->port;
    if (const Status written = write_image(service, made); !written) {
        service.trouble = written.error().message;
        mark_later(service);
        return false;
    }
    service.trouble.clear();
    slot->row.generation = made.id.generation;
    slot->use = SlotUse::Taken;
    slot->used = env_.clock.now();
    put(slot->row);
    note_slot(made.id, "starting");
    say({.kind = "instance starting",
         .service = service.row.name,
         .instance = model::name_of(service.row.name, made.id),
         .text = fmt::format("v{} starts{}", version.release,
                             made.port == 0 ? "" : fmt::format(" on port {}", made.port))});
    const model::InstanceId id = made.id;
    world_.instances[id.slot] = std::move(made);
    keeper_->spawn(ref(id));
    return true;
}

Status Control::write_image(const Service& service, const Instance& instance) {
    const model::ServiceSpec& spec = *spec_of(world_, service, instance.version.release);
    const std::string folder = release_folder(service, instance.version.release);
    const env::Owner owner = TRY(owner_of(service, spec));
    Variables variables = {{"PATH", is_npm_start(spec.run) ? npm_search_path(folder) : kSearchPath},
                           {"HOME", folder},
                           {"LANG", "C.UTF-8"}};
    variables.insert(variables.end(), spec.environment.begin(), spec.environment.end());
    if (instance.port != 0) {
        variables.push_back({"PORT", std::to_string(instance.port)});
        variables.push_back({"HOST", "127.0.0.1"});
    }
    for (const auto& [id, listener] : world_.listeners) {
        const std::string& name = world_.services[listener.service].row.name;
        const bool is_called =
            listener.caller == service.row.id &&
            std::find(spec.calls.begin(), spec.calls.end(), name) != spec.calls.end();
        if (!is_called) continue;
        variables.push_back(
            {model::url_variable(name), fmt::format("http://127.0.0.1:{}", listener.port)});
    }
    if (spec.state_bytes > 0) variables.push_back({"STATE_DIR", state_folder(service)});
    variables.push_back({"THOLE_SERVICE", service.row.name});
    variables.push_back({"THOLE_RELEASE", std::to_string(instance.version.release)});
    variables.push_back({"THOLE_INSTANCE", model::name_of(service.row.name, instance.id)});
    variables.push_back({"THOLE_RESTART", std::to_string(instance.version.restart)});
    const auto found = service.commands.find(instance.version.release);
    const model::Command& run = found == service.commands.end() ? spec.run : found->second;
    const std::string spool = spool_of(service, {.slot = instance.id.slot});
    wire::ImageSource source;
    source.cwd = folder;
    source.cgroup = fmt::format("{}-{}", service.row.name, instance.id.slot);
    source.out = spool + ".out";
    source.err = spool + ".err";
    source.argv = command_line(
        run, [this](const std::string& name) { return env_.processes.find_program(name); });
    source.environment = environment_of(variables);
    source.uid = owner.uid;
    source.gid = owner.gid;
    const std::string image = TRY(wire::write_image(source));
    return env_.files.replace(
        fmt::format("{}/images/{}.{}", options_.run, instance.id.slot, instance.id.generation),
        image, env::Durability::None, 0600);
}

void Control::adopt(const wire::SlotState& state) {
    const auto bytes = env_.files.read(
        fmt::format("{}/images/{}.{}", options_.run, state.at.slot, state.at.generation),
        wire::kImageBytesMax);
    wire::ImageView image;
    Instance made;
    made.id = {state.at.slot, state.at.generation};
    std::string name;
    if (bytes && image.open(*bytes)) {
        std::vector<const char*> argv(image.header().argc + 1), envp(image.header().envc + 1);
        image.fill(argv.data(), envp.data());
        const auto number = [](std::string_view text) {
            return static_cast<std::uint32_t>(parse_integer(text, 0, 0xffffffff).value_or(0));
        };
        for (std::size_t i = 0; i + 1 < envp.size(); ++i) {
            const std::string_view line = envp[i];
            const std::string_view key = line.substr(0, line.find('='));
            const std::string_view value = line.substr(std::min(line.size(), key.size() + 1));
            if (key == "THOLE_SERVICE") name = value;
            if (key == "THOLE_RELEASE") made.version.release = number(value);
            if (key == "THOLE_RESTART") made.version.restart = number(value);
            if (key == "PORT") made.port = static_cast<std::uint16_t>(number(value));
        }
    }
    Service* const service = find_known(world_, name);  // Removed: it may still have requests.
    Slot& slot = world_.slots[state.at.slot];
    slot.row.slot = state.at.slot;
    slot.row.generation = std::max(slot.row.generation, state.at.generation);
    slot.use = SlotUse::Taken;
    slot.used = env_.clock.now();
    // Its end is on the timeline; keeper may not have heard that its slot is to be free.
    const auto told = world_.ended.find(state.at.slot);
    if (told != world_.ended.end() && told->second == state.at.generation) return;
    // A build that a control before us began is begun anew; what we do not know is nobody's.
    if (service == nullptr || made.version.release == 0) {
        if (state.status != wire::SlotStatus::Ended) kill_all(made.id);
        return;
    }
    made.service = slot.row.service = service->row.id;
    put(slot.row);
    made.port_claim = claim_again(env_, made.port);
    // As old as the process is, whoever watched it: the kernel's ticks are hundredths of a second.
    // Its time to become ready begins anew: one of which no note says that it was may serve.
    made.spawned = env_.clock.now();
    made.since = state.start_time == 0 ? made.spawned
                                       : Time(std::chrono::milliseconds(state.start_time * 10));
    const auto note =
        env_.files.read(fmt::format("{}/images/note.{}", options_.run, made.id.slot), 64);
    const bool was_ready = note && *note == fmt::format("{} ready", made.id.generation);
    if (was_ready) {
        made.stage = model::Stage::Ready;
        made.ready_since = made.since;
    }
    const auto early = world_.early_stats.find(made.id.slot);
    if (early != world_.early_stats.end() && early->second.at.generation == made.id.generation)
        made.stats = early->second;
    // It was to end: from the beginning again, each step being harmless when repeated. What we read
    // may not be on the disk: whoever wrote it may have died before the sync.
    const auto intent = world_.intents.find(made.id.slot);
    if (intent != world_.intents.end() && intent->second.generation == made.id.generation) {
        made.stage = model::Stage::Leaving;
        made.reason = intent->second.reason;
        made.was_asked = true;
        remember_leaving(made);
    }
    Instance& instance = world_.instances[state.at.slot] = std::move(made);
    // As it leaves, too: an edge that is not told takes what it carries for broken.
    if (instance.stage == model::Stage::Ready) route(instance, 0);
    if (instance.stage == model::Stage::Leaving) route(instance, wire::kBitControl);
}

void Control::kill_all(model::InstanceId id) {
    Instance* const instance = instance_at(ref(id));
    if (instance != nullptr) instance->was_killed = true;
    keeper_->signal({ref(id), 9, wire::SignalScope::All});
}

Instance* Control::instance_at(wire::SlotRef at) {
    const auto found = world_.instances.find(at.slot);
    if (found == world_.instances.end() || found->second.id.generation != at.generation)
        return nullptr;
    return &found->second;
}

void Control::on_slot(const wire::SlotState& state) {
    const auto known = world_.slots.find(state.at.slot);
    if (known != world_.slots.end()) {
        Slot& slot = known->second;
        std::copy_n(state.spool_dropped_bytes, 2, slot.dropped_bytes);
        // Begun by a control before us, whose request came late: this number is used up.
        slot.row.generation = std::max(slot.row.generation, state.at.generation);
        if (state.status == wire::SlotStatus::Free && slot.use == SlotUse::Forgetting) {
            slot.use = SlotUse::Free;
            mark_all();
        }
    }
    const model::End end{.is_known = (state.flags & (wire::kExitKnown | wire::kSpawnFailed)) != 0,
                         .never_ran = (state.flags & wire::kSpawnFailed) != 0,
                         .wait_status = state.wait_status,
                         .oom_kills = state.oom_kills,
                         .is_oom_known = (state.flags & wire::kOomKnown) != 0};
    Instance* const instance = instance_at(state.at);
    if (instance != nullptr) {
        if (state.status == wire::SlotStatus::Running) on_running(*instance, state.pid);
        if (state.status == wire::SlotStatus::Ended) {
            if (instance->stage == model::Stage::Leaving)
                on_first_end(*instance, end, state.remains);
            else
                on_end(*instance, end);
        }
        // A control before us had this generation, saw its end and died before that was on the
        // disk: keeper will never start it again.
        if (state.status == wire::SlotStatus::Free) on_nothing(*instance, {.is_known = false});
        return;
    }
    if (state.at.slot < wire::kRoleSlots) return;
    Service* const builder = builder_at(state.at);
    // Nobody's. When it was to be killed it may not have claimed its slot yet.
    if (state.status == wire::SlotStatus::Running && builder == nullptr) {
        if (known != world_.slots.end()) known->second.use = SlotUse::Taken;
        return kill_all({state.at.slot, state.at.generation});
    }
    // keeper will never run this one.
    if (state.status == wire::SlotStatus::Free && builder != nullptr)
        return on_build_refused(state.at);
    if (state.status != wire::SlotStatus::Ended) return;
    if (builder != nullptr) return on_build_end(*builder, end);
    forget({state.at.slot, state.at.generation});
}

void Control::on_running(Instance& instance, std::uint32_t pid) {
    if (instance.pid == pid) return;
    instance.pid = pid;
    if (instance.stage != model::Stage::Starting) {
        // Adopted; its intent, where there is one, is found in services.cpp.
        mark(instance.service);
        return;
    }
    const std::uint32_t slot = instance.id.slot;
    if (instance.port == 0) {
        const std::uint32_t generation = instance.id.generation;
        instance.look_again = env_.timers.after(kNoPortReady, [this, slot, generation] {
            Instance* const still = instance_at({slot, generation});
            if (still != nullptr && still->stage == model::Stage::Starting) became_ready(*still);
        });
        return;
    }
    instance.probe =
        std::make_unique<Probe>(env_, instance.port, spec_at(world_, instance).health.ready,
                                [this, slot](const Status& status) { on_probe(slot, status); });
    mark(instance.service);
}

void Control::on_probe(std::uint32_t slot, const Status& status) {
    const auto found = world_.instances.find(slot);
    if (found == world_.instances.end() || found->second.stage != model::Stage::Starting) return;
    Instance& instance = found->second;
    if (status) return became_ready(instance);
    const Time now = env_.clock.now();
    if (now - instance.spawned <= kExplainAfter) {
        instance.reason = status.error().message;
    } else if (now - instance.explained > kExplainAfter) {
        instance.explained = now;
        explain_silence(slot, status.error().message);
    }
}

// Of one that has not become ready in time; again at each look, for a keeper that did not hear it.
void Control::end_stuck(Instance& instance) {
    const Service& service = world_.services[instance.service];
    const Duration startup = spec_at(world_, instance).health.startup;
    const Duration waited = env_.clock.now() - instance.spawned;
    if (instance.pid == 0 || waited <= startup) return;
    // The reason is on its way; on a machine that is very busy it may come late.
    if (instance.is_explaining && waited <= startup + kExplainLimit) return;
    if (!instance.is_stuck) {
        instance.is_stuck = true;
        instance.probe.reset();
        instance.reason =
            fmt::format("not ready after {}: {}", format_duration(waited), instance.reason);
        say({.kind = "instance stuck",
             .service = service.row.name,
             .instance = model::name_of(service.row.name, instance.id),
             .text = instance.reason + "; it is ended and another one started"});
    }
    kill_all(instance.id);
}

// It runs and does not answer: does it listen elsewhere?
void Control::explain_silence(std::uint32_t slot, std::string heard) {
    Instance& instance = world_.instances[slot];
    const std::uint32_t pid = instance.pid;
    const std::uint32_t generation = instance.id.generation;
    instance.is_explaining = true;
    const auto found = std::make_shared<std::vector<env::Address>>();
    env_.errands.run(
        [&processes = env_.processes, pid, found] { *found = processes.listening(pid); },
        [this, alive = alive_, slot, generation, found, heard = std::move(heard)] {
            if (!*alive) return;
            Instance* const still = instance_at({slot, generation});
            if (still == nullptr || still->stage != model::Stage::Starting) return;
            still->is_explaining = false;
            mark(still->service);
            std::string places;
            for (const env::Address& at : *found) {
                if (at.port == still->port) {  // It listens; its answer is the trouble.
                    still->reason = heard;
                    return;
                }
                places += fmt::format("{}{}", places.empty() ? "" : ", ", at.port);
            }
            still->reason =
                places.empty()
                    ? fmt::format("it runs and does not listen on PORT {}", still->port)
                    : fmt::format("it listens on port {}, not on PORT {}", places, still->port);
        });
}

void Control::became_ready(Instance& instance) {
    const Service& service = world_.services[instance.service];
    instance.stage = model::Stage::Ready;
    instance.since = instance.ready_since = env_.clock.now();
    instance.reason.clear();
    instance.probe.reset();
    note_slot(instance.id, "ready");
    route(instance, 0);
    edge_->flush();
    say({.kind = "instance ready",
         .service = service.row.name,
         .instance = model::name_of(service.row.name, instance.id),
         .text =
             fmt::format("ready after {}", format_duration(instance.since - instance.spawned))});
    mark(instance.service);
}

void Control::on_end(Instance& instance, const model::End& end) {
    Service& service = world_.services[instance.service];
    const Time now = env_.clock.now();
    const bool was_ready = instance.ready_since != Time{};
    const bool was_forced = instance.was_killed && model::was_killed_from_outside(end);
    std::string text = was_forced ? "forced to end by SIGKILL" : model::describe(end);
    if (instance.was_asked && !was_forced) {
        text = "ended as asked: " + text;
        if (std::holds_alternative<recovery::AskedRest>(instance.leaving))
            text += instance.remains == wire::Remains::None ? "; what it left ended, too"
                                                            : "; what it left is killed";
    } else if (instance.is_stuck) {
        text = instance.reason + "; " + text;
    } else if (!instance.was_asked) {
        text = (was_ready ? "lost: " : "ended before it was ready: ") + text;
    }
    text += fmt::format(", after {}", format_duration(now - instance.spawned));
    say({.kind = instance.was_asked ? "instance ended" : "instance lost",
         .service = service.row.name,
         .instance = model::name_of(service.row.name, instance.id),
         .text = text});
    recovery::Failures* const failures = failures_of(service, instance.version);
    if (!instance.was_asked && failures != nullptr) {
        *failures =
            recovery::after_end(*failures,
                                {.end = end,
                                 .was_ready = was_ready,
                                 .ready_for = was_ready ? now - instance.ready_since : Duration{},
                                 .was_asked = false},
                                now, env_.random);
        if (instance.version == service.wanted()) service.last_failure = text;
    }
    if (instance.port != 0) route(instance, wire::kBitControl | wire::kBitGone);
    edge_->flush();
    put(RemoveIntent{instance.id.slot, instance.id.generation});
    Slot& slot = world_.slots[instance.id.slot];
    if (!instance.was_asked) ++slot.restarts;
    const model::InstanceId id = instance.id;
    world_.instances.erase(id.slot);
    world_.ended[id.slot] = id.generation;
    put(model::NumberRow{fmt::format("ended {}", id.slot), id.generation});
    forget(id);
    mark_all();
}

}  // namespace thole::control
