// The whole picture as JSON: docs/reference/api.md, GET /api/v1/system.
#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "base/parse.h"
#include "control/api.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr const char* kRoles[] = {"keeper", "watch", "control", "edge"};

std::string_view name_of(wire::RoleEvent event) {
    switch (event) {
        case wire::RoleEvent::Running: return "running";
        case wire::RoleEvent::Ended: return "ended";
        case wire::RoleEvent::KilledForSilence: return "killed";
        case wire::RoleEvent::Waiting: return "waiting";
    }
    return "unknown";
}

std::string_view state_of(const Instance& instance) {
    switch (instance.stage) {
        case model::Stage::Starting: return "starting";
        case model::Stage::Ready: return "ready";
        case model::Stage::Leaving: {
            const bool drains = instance.leaving.index() < 4;
            return drains ? "draining" : "stopping";
        }
    }
    return "unknown";
}

// One that was removed goes on where what could not be replaced still calls it.
bool is_to_stop(World& world, const Service& service) {
    return world.is_down || (service.row.is_removed && may_stop(world, service));
}

struct ServiceState {
    std::string name;
    std::string reason;
    int ready = 0;
};

ServiceState state_of(World& world, const Service& service) {
    ServiceState said;
    int live = 0;
    std::string starting;
    std::string why = service.port_trouble.empty() ? service.trouble : service.port_trouble;
    for (const Instance* instance : instances_of(world, service.row.id)) {
        if (instance->stage == model::Stage::Ready) ++said.ready;
        if (instance->stage != model::Stage::Leaving) ++live;
        if (starting.empty() && instance->stage == model::Stage::Starting)
            starting = instance->reason;
    }
    // How the one before ended says more than what a new one has not done yet.
    if (why.empty()) why = service.failures.in_row > 0 ? service.last_failure : starting;
    const bool is_rolling = service.row.wanted != service.row.serving;
    const bool is_staging = service.staging.step != StagingStep::None;
    if (is_to_stop(world, service)) {
        said.name = instances_of(world, service.row.id).empty() ? "stopped" : "stopping";
    } else if (service.row.wanted == 0) {
        said.name = is_staging ? "staging" : "failing";
        why = service.deploy ? service.deploy->reason : why;
    } else if (!service.port_trouble.empty()) {
        said.name = "failing";
    } else if (service.is_settled) {
        said.name = "serving";
        why.clear();
    } else if (is_rolling && service.row.serving != 0) {
        said.name = "replacing";
    } else if (said.ready > 0) {
        said.name = said.ready >= count_of(world, service) ? "serving" : "degraded";
    } else {
        said.name =
            service.failures.in_row > 1 || !service.trouble.empty() ? "failing" : "starting";
    }
    said.reason = why;
    return said;
}

std::string why_of(World& world, const Instance& instance, const std::string& output) {
    if (instance.reason.empty()) return output;
    const bool is_asked = std::holds_alternative<recovery::Asked>(instance.leaving) ||
                          std::holds_alternative<recovery::AskedRest>(instance.leaving);
    if (!is_asked || instance.stage != model::Stage::Leaving) return instance.reason;
    return fmt::format("{}; SIGTERM was sent, SIGKILL follows after {}", instance.reason,
                       format_duration(spec_at(world, instance).stop_grace));
}

void write_instance(JsonWriter& json, World& world, const Instance& instance,
                    const SystemSaid& said) {
    const Service& service = world.services.at(instance.service);
    const auto slot = world.slots.find(instance.id.slot);
    const bool has_output =
        slot != world.slots.end() && slot->second.output.generation == instance.id.generation;
    const std::string& output = has_output ? slot->second.output.reason : instance.reason;
    std::uint64_t errors = 0;
    for (const wire::Outcome outcome :
         {wire::Outcome::ServerError, wire::Outcome::ConnectFailed, wire::Outcome::Reset,
          wire::Outcome::TimedOut, wire::Outcome::Overloaded})
        errors += instance.stats.outcomes[static_cast<std::size_t>(outcome)];
    json.begin_object()
        .member("name", model::name_of(service.row.name, instance.id))
        .member("slot", instance.id.slot)
        .member("generation", instance.id.generation)
        .member("release", instance.version.release)
        .member("pid", instance.pid)
        .member("port", std::uint32_t{instance.port})
        .member("state", state_of(instance))
        .member("reason", why_of(world, instance, output))
        .member("since", format_wall(said.wall - (said.now - instance.since)))
        .member("restarts", slot == world.slots.end() ? 0 : slot->second.restarts)
        .member("in_flight", instance.stats.in_flight)
        .member("requests", instance.stats.begun)
        .member("errors", errors)
        .end_object();
}

void write_deploy(JsonWriter& json, const Service& service) {
    json.key("deploy");
    if (!service.deploy) {
        json.null();
        return;
    }
    json.begin_object()
        .member("release", service.deploy->release)
        .member("status", service.deploy->status)
        .member("reason", service.deploy->reason)
        .end_object();
}

void write_paused(JsonWriter& json, const World& world, const Service& service) {
    json.key("paused");
    const auto found = world.pauses.find(service.row.id);
    if (found == world.pauses.end() || !found->second.row.is_on) {
        json.null();
        return;
    }
    const model::PauseRow& row = found->second.row;
    const Duration limit(row.limit_ns);
    json.begin_object()
        .member("since", format_wall(row.since))
        .member("until", row.limit_ns == 0 ? std::string() : format_wall(row.since + limit))
        .member("by", row.author)
        .member("applied", found->second.is_applied)
        .end_object();
}

void write_shares(JsonWriter& json, const World& world, const Service& service) {
    json.key("shares").begin_object();
    if (const auto row = world.shares.find(service.row.id); row != world.shares.end()) {
        for (const wire::ReleaseShare& part : parts_of(row->second).value_or(Parts{}))
            json.member(fmt::format("v{}", part.release), print_share(part.per_mille));
    }
    json.end_object();
}

std::string address_of(const Service& service) {
    if (!service.spec.at_public) return {};
    const model::PublicSpec& spec = *service.spec.at_public;
    // By its address nobody would reach it where it answers for hosts alone.
    const auto host = std::find_if(spec.hosts.begin(), spec.hosts.end(),
                                   [](const std::string& name) { return !name.starts_with("*."); });
    return fmt::format("http://{}:{}{}", host == spec.hosts.end() ? spec.bind : *host, spec.port,
                       spec.path);
}

void write_service(JsonWriter& json, World& world, const Service& service, const SystemSaid& said) {
    const ServiceState state = state_of(world, service);
    json.begin_object().member("name", service.row.name).key("calls").begin_array();
    for (const std::string& call : service.spec.calls) json.value(call);
    json.end_array()
        .member("state", state.name)
        .member("reason", state.reason)
        .member("instances_wanted", count_of(world, service))
        .member("instances_ready", state.ready)
        .member("release", service.row.serving)
        .member("release_wanted", service.row.wanted);
    write_deploy(json, service);
    json.member("address", address_of(service));
    write_paused(json, world, service);
    write_shares(json, world, service);
    if (service.spec.state_bytes > 0) {
        json.member("state_bytes_wanted", service.spec.state_bytes);
        if (service.kept_bytes) json.member("state_bytes", *service.kept_bytes);
    }
    json.key("instances").begin_array();
    for (const Instance* instance : instances_of(world, service.row.id))
        write_instance(json, world, *instance, said);
    json.end_array().key("last_lines").begin_array();
    if (const auto lines = said.last_lines.find(service.row.name); lines != said.last_lines.end()) {
        for (const std::string& line : lines->second) json.value(line);
    }
    json.end_array().end_object();
}

// keeper has not said yet whether it could be opened.
bool awaits_port(const World& world, const Service& service) {
    return std::any_of(world.listener_errors.begin(), world.listener_errors.end(),
                       [&](const auto& each) {
                           const auto row = world.listeners.find(each.first);
                           if (each.second != 0 || row == world.listeners.end()) return false;
                           const bool is_shared = row->second.caller == wire::kNoService &&
                                                  service.spec.at_public &&
                                                  service.spec.at_public->port == row->second.port;
                           return row->second.service == service.row.id || is_shared;
                       });
}

// Settled: all that is wanted serves, or what does not has said why and is waiting for its next
// try or for a better release.
bool is_settled(World& world, const Service& service) {
    if (is_to_stop(world, service)) return instances_of(world, service.row.id).empty();
    if (service.staging.step != StagingStep::None) return false;
    if (service.row.wanted == 0) return true;
    if (awaits_port(world, service)) return false;
    return service.is_settled || service.failures.in_row >= 3 || !service.trouble.empty() ||
           !service.port_trouble.empty();
}

void write_roles(JsonWriter& json, const World& world, const SystemSaid& said) {
    json.key("roles").begin_array();
    const auto write = [&](const char* name, std::uint64_t pid, std::string_view state,
                           std::uint64_t starts, std::int64_t since_ns) {
        json.begin_object().member("role", name).member("pid", pid).member("state", state);
        json.member("starts", starts);
        const WallTime since = said.wall - (said.now - time_from_nanoseconds(since_ns));
        json.member("since", since_ns == 0 ? std::string() : format_wall(since)).end_object();
    };
    write("keeper", world.keeper.pid, "running", world.keeper.keepers, 0);
    for (const auto& [role, state] : world.roles) {
        if (role == 0 || role >= std::size(kRoles)) continue;
        write(kRoles[role], state.pid, name_of(state.event), state.starts, state.time);
    }
    json.end_array();
}

// What this machine's rights do not let us promise.
void write_notes(JsonWriter& json, const World& world, const SystemSaid& said) {
    const bool lacks_cgroups = world.keeper.pid != 0 && world.keeper.has_cgroups == 0;
    if (lacks_cgroups) {
        json.value(
            "no cgroup rights here: processes that a service detaches may outlive it, memory and "
            "number of processes are not limited, and who calls whom is not checked");
    }
    if (said.is_root) return;
    std::string users =
        "thole is not root here: its services have no users of their own, so that each can read "
        "what the others keep, and end them";
    if (lacks_cgroups) users += "; each can say `thole down`";
    json.value(users);
}

}  // namespace

std::string system_json(World& world, const SystemSaid& said) {
    const model::Manifest* const manifest = applied(world);
    const auto row = world.manifests.find(world.revision);
    bool settled = true;
    for (const auto& [id, service] : world.services)
        settled = settled && is_settled(world, service);
    JsonWriter json;
    json.begin_object()
        .member("name", manifest == nullptr ? std::string() : manifest->name)
        .member("id", said.id)
        .member("folder", row == world.manifests.end() ? std::string() : row->second.folder)
        .member("revision", world.revision)
        .member("phase", world.is_down ? "stopping" : "running")
        .member("settled", settled)
        .member("trouble", said.trouble)
        .key("notes")
        .begin_array();
    write_notes(json, world, said);
    json.end_array();
    write_roles(json, world, said);
    json.key("traffic")
        .begin_object()
        .member("held", world.traffic.held)
        .member("held_ever", world.traffic.held_ever)
        .member("replayed_ever", world.traffic.replayed_ever)
        .member("diverted_ever", world.traffic.diverted_ever)
        .member("added_wait_max_ms", world.traffic.added_wait_max_ns / 1'000'000)
        .member("access_written", world.traffic.access_written)
        .member("access_dropped", world.traffic.access_dropped)
        .end_object();
    json.key("faults").raw(faults_json(world, said));
    json.key("services").begin_array();
    std::vector<const Service*> shown;
    if (manifest != nullptr) {
        for (const model::ServiceSpec& spec : manifest->services) {
            if (const Service* const service = find_service(world, spec.name); service != nullptr)
                shown.push_back(service);
        }
    }
    for (const auto& [id, service] : world.services) {
        const bool is_listed = std::find(shown.begin(), shown.end(), &service) != shown.end();
        if (!is_listed && (!service.row.is_removed || !instances_of(world, id).empty()))
            shown.push_back(&service);
    }
    for (const Service* service : shown) write_service(json, world, *service, said);
    return json.end_array().end_object().take();
}

bool wants_last_lines(World& world, const Service& service) {
    const bool went_wrong = service.deploy && (service.deploy->status == "broken" ||
                                               service.deploy->status == "reversed");
    return went_wrong || state_of(world, service).name == "failing";
}

std::string timeline_json(const model::TimelineRow& row) {
    JsonWriter json;
    json.begin_object()
        .member("sequence", row.sequence)
        .member("time", format_wall(row.time))
        .member("kind", row.kind)
        .member("service", row.service)
        .member("instance", row.instance)
        .member("text", row.text)
        .end_object();
    return json.take();
}

}  // namespace thole::control
