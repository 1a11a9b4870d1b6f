#include "cli/report.h"

#include <fmt/format.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/printable.h"

namespace thole::cli {
namespace {

// For --json; a code has one.
std::string_view name_of_exit(int code) {
    switch (code) {
        case kServing: return "serving";
        case kReversed: return "reversed";
        case kUnreachable: return "unreachable";
        case kInProgress: return "in progress";
        default: return "not reached";
    }
}

int code_of(const Waited& waited, std::string_view service) {
    switch (waited.ended) {
        case Ended::Reached: return verdict_of(waited.system, service);
        case Ended::TimedOut:
        case Ended::Interrupted: return kInProgress;
        case Ended::Gone: return kUnreachable;
    }
    return kNotReached;
}

// What it said last, under its reason.
void tell_service(Console& console, const ServiceView& service) {
    const bool has_deploy_news = service.is_broken() || service.is_reversed();
    std::string line = fmt::format(
        "{} {}", console.paint(Channel::Talk, Colour::Red, printable(service.name) + ":"),
        printable(service.state));
    if (!service.reason.empty()) line += ": " + printable(service.reason);
    console.problem(line);
    if (has_deploy_news) {
        console.problem(fmt::format("  its deploy is {}{}{}", printable(service.deploy_status),
                                    service.deploy_reason.empty() ? "" : ": ",
                                    printable(service.deploy_reason)));
    }
    for (const std::string& last : service.last_lines) console.problem("  | " + printable(last));
    if (service.reason.find("try: ") != std::string::npos) return;
    const bool is_of_build = service.is_broken() && service.deploy_reason.starts_with("build:");
    console.problem(fmt::format("  try: thole logs {}{}", is_of_build ? "--build " : "",
                                printable(service.name)));
}

void tell_not_serving(Console& console, const SystemView& system, std::string_view only) {
    for (const ServiceView& service : system.services) {
        if (!only.empty() && service.name != only) continue;
        if (!service.serves() || service.is_broken() || service.is_reversed()) {
            tell_service(console, service);
        }
    }
}

void tell_success(Console& console, const SystemView& system, const About& about) {
    for (const ServiceView& service : system.services) {
        if (!service.is_paused || (!about.service.empty() && service.name != about.service))
            continue;
        console.talk(fmt::format("{0} is paused: its requests wait; try: thole resume {0}",
                                 printable(service.name)));
    }
    std::int64_t services = 0;
    std::int64_t instances = 0;
    for (const ServiceView& service : system.services) {
        if (!about.service.empty() && service.name != about.service) continue;
        ++services;
        instances += service.instances_ready;
    }
    const std::string whom(about.service.empty() ? system.name : about.service);
    console.talk(fmt::format(
        "{} {} {}, after {}", console.paint(Channel::Talk, Colour::Green, printable(whom)),
        about.service.empty()
            ? fmt::format("serves: {} service{},", services, services == 1 ? "" : "s")
            : std::string("serves:"),
        fmt::format("{} instance{} ready", instances, instances == 1 ? "" : "s"),
        format_duration(about.took)));
}

}  // namespace

int report(Console& console, const Waited& waited, const About& about) {
    const SystemView& system = waited.system;
    const int code = code_of(waited, about.service);
    if (console.is_json()) {
        JsonWriter w;
        w.begin_object().member("format", 1).member("result", name_of_exit(code));
        w.member("exit", code).key("system");
        w.raw(system.json.empty() ? "null" : system.json).end_object();
        console.data(w.take());
    }
    if (!system.trouble.empty()) console.problem("trouble: " + printable(system.trouble));
    switch (waited.ended) {
        case Ended::Gone: console.problem("thole has ended meanwhile\n  try: thole up"); break;
        case Ended::Interrupted:
            console.talk("not watched any more; it goes on; thole ps shows how far it is");
            break;
        case Ended::TimedOut:
            console.problem(fmt::format("still in progress after {}", format_duration(about.took)));
            tell_not_serving(console, system, about.service);
            break;
        case Ended::Reached:
            if (code == kServing) {
                tell_success(console, system, about);
            } else {
                tell_not_serving(console, system, about.service);
            }
            if (code == kReversed) console.problem("the old release serves again");
            break;
    }
    return code;
}

}  // namespace thole::cli
