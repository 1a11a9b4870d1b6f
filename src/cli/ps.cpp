// `thole ps`.
#include <fmt/format.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/moments.h"
#include "cli/printable.h"
#include "cli/system_view.h"
#include "cli/table.h"

namespace thole::cli {
namespace {

// Empty for none.
std::string some(std::int64_t value) { return value == 0 ? "" : fmt::format("{}", value); }

std::string mebibytes(std::int64_t bytes) {
    return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024 * 1024));
}

std::string release_of(const ServiceView& service) {
    const auto name = [](std::int64_t release) {
        return release == 0 ? std::string("-") : fmt::format("v{}", release);
    };
    if (!service.shares.empty()) return printable(service.shares);
    if (service.release == service.release_wanted || service.release_wanted == 0) {
        return name(service.release);
    }
    return name(service.release) + " > " + name(service.release_wanted);
}

std::string paused(Outside& outside, const ServiceView& service) {
    std::string text = fmt::format("paused for {} by {}", age_of(outside, service.paused_since),
                                   printable(service.paused_by));
    if (!service.paused_until.empty()) text += ", until " + clock_of(outside, service.paused_until);
    return text;
}

// Its own, else what became of its last deploy.
std::string reason_of(Outside& outside, const ServiceView& service) {
    if (service.is_paused) {
        return paused(outside, service) +
               (service.reason.empty() ? "" : "; " + printable(service.reason));
    }
    if (!service.reason.empty()) return printable(service.reason);
    if (!service.is_broken() && !service.is_reversed()) return {};
    return printable(fmt::format("deploy {}{}{}", service.deploy_status,
                                 service.deploy_reason.empty() ? "" : ": ", service.deploy_reason));
}

Table services_of(Outside& outside, const SystemView& system) {
    Table table{.head = {"SERVICE", "STATE", "READY", "RELEASE", "HELD", "ADDRESS", "WHY"},
                .rows = {}};
    for (const ServiceView& service : system.services) {
        table.rows.push_back(
            {printable(service.name), printable(service.state),
             fmt::format("{}/{}", service.instances_ready, service.instances_wanted),
             release_of(service), some(service.held), printable(service.address),
             reason_of(outside, service)});
    }
    return table;
}

Table instances_of(Outside& outside, const SystemView& system) {
    Table table{.head = {"INSTANCE", "STATE", "RELEASE", "PID", "PORT", "FOR", "RESTARTS",
                         "REQUESTS", "ERRORS", "WHY"},
                .rows = {}};
    for (const ServiceView& service : system.services) {
        for (const InstanceView& instance : service.instances) {
            table.rows.push_back({printable(instance.name), printable(instance.state),
                                  fmt::format("v{}", instance.release), some(instance.pid),
                                  some(instance.port), age_of(outside, instance.since),
                                  some(instance.restarts), some(instance.requests),
                                  some(instance.errors), printable(instance.reason)});
        }
    }
    return table;
}

Table roles_of(Outside& outside, const SystemView& system) {
    Table table{.head = {"ROLE", "STATE", "PID", "FOR", "STARTS"}, .rows = {}};
    for (const RoleView& role : system.roles) {
        table.rows.push_back({printable(role.role), printable(role.state), some(role.pid),
                              age_of(outside, role.since), some(role.starts)});
    }
    return table;
}

void print(Console& console, Outside& outside, const SystemView& system) {
    const std::size_t width = console.width();
    std::string out;
    if (system.services.empty()) {
        console.talk("nothing runs here yet\n  try: thole up");
    } else {
        out += lay_out(services_of(outside, system), width);
    }
    if (const Table table = instances_of(outside, system); !table.rows.empty()) {
        out += "\n" + lay_out(table, width);
    }
    if (const Table table = roles_of(outside, system); !table.rows.empty()) {
        out += (out.empty() ? "" : "\n") + lay_out(table, width);
    }
    for (const ServiceView& service : system.services) {
        if (service.state_bytes <= service.state_bytes_wanted) continue;
        out += fmt::format("\n{} keeps {}, more than its state of {}: not enforced\n",
                           printable(service.name), mebibytes(service.state_bytes),
                           mebibytes(service.state_bytes_wanted));
    }
    if (!system.faults.empty()) out += "\n";
    for (const FaultView& fault : system.faults) {
        out += fmt::format("fault {} on {} until {}: {}; ends it: thole fault --stop {}\n",
                           fault.id, printable(fault.service), clock_of(outside, fault.until),
                           printable(fault.text), fault.id);
    }
    if (!system.notes.empty()) out += "\n";
    for (const std::string& note : system.notes) {
        out += "not promised here: " + printable(note) + "\n";
    }
    console.data(out);
    if (!system.trouble.empty()) { console.problem("trouble: " + printable(system.trouble)); }
    if (system.phase == "stopping") console.talk("thole down is under way");
}

}  // namespace

Result<int> ps(const Arguments&, Client& client, Console& console) {
    const std::string body = TRY(client.get("/api/v1/system"));
    const SystemView system = TRY(read_system(body));
    if (console.is_json()) {
        JsonWriter w;
        console.data(
            w.begin_object().member("format", 1).key("system").raw(body).end_object().take());
    } else {
        print(console, client.outside(), system);
    }
    return kServing;
}

}  // namespace thole::cli
