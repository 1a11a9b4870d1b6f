#include "cli/system_view.h"

#include "base/json.h"
#include "cli/client.h"
#include "cli/commands.h"

namespace thole::cli {
namespace {

std::string text(const Json& from, std::string_view key) {
    const Json* const found = from.find(key);
    return found != nullptr && found->text() != nullptr ? *found->text() : std::string();
}

std::int64_t number(const Json& from, std::string_view key) {
    const Json* const found = from.find(key);
    return found != nullptr && found->integer() != nullptr ? *found->integer() : 0;
}

const Json::Array& list(const Json& from, std::string_view key) {
    static const Json::Array nothing;
    const Json* const found = from.find(key);
    return found != nullptr && found->array() != nullptr ? *found->array() : nothing;
}

std::vector<std::string> texts(const Json& from, std::string_view key) {
    std::vector<std::string> out;
    for (const Json& item : list(from, key)) {
        if (item.text() != nullptr) out.push_back(*item.text());
    }
    return out;
}

RoleView role_of(const Json& from) {
    return {.role = text(from, "role"),
            .pid = number(from, "pid"),
            .state = text(from, "state"),
            .starts = number(from, "starts"),
            .since = text(from, "since")};
}

InstanceView instance_of(const Json& from) {
    return {.name = text(from, "name"),
            .release = number(from, "release"),
            .pid = number(from, "pid"),
            .port = number(from, "port"),
            .state = text(from, "state"),
            .reason = text(from, "reason"),
            .since = text(from, "since"),
            .restarts = number(from, "restarts"),
            .in_flight = number(from, "in_flight"),
            .requests = number(from, "requests"),
            .errors = number(from, "errors")};
}

// "v2 1%, v1 99%"
std::string shares_in(const Json& from) {
    std::string all;
    const Json* const shares = from.find("shares");
    if (shares == nullptr || shares->object() == nullptr) return all;
    for (const auto& [release, share] : *shares->object()) {
        if (share.text() != nullptr)
            all += (all.empty() ? "" : ", ") + release + " " + *share.text();
    }
    return all;
}

ServiceView service_of(const Json& from) {
    ServiceView service{.name = text(from, "name"),
                        .state = text(from, "state"),
                        .reason = text(from, "reason"),
                        .instances_wanted = number(from, "instances_wanted"),
                        .instances_ready = number(from, "instances_ready"),
                        .release = number(from, "release"),
                        .release_wanted = number(from, "release_wanted"),
                        .deploy_status = {},
                        .deploy_reason = {},
                        .address = text(from, "address"),
                        .shares = shares_in(from),
                        .is_paused = false,
                        .paused_since = {},
                        .paused_by = {},
                        .paused_until = {},
                        .held = number(from, "held"),
                        .state_bytes = number(from, "state_bytes"),
                        .state_bytes_wanted = number(from, "state_bytes_wanted"),
                        .instances = {},
                        .last_lines = texts(from, "last_lines")};
    if (const Json* const deploy = from.find("deploy"); deploy != nullptr) {
        service.deploy_status = text(*deploy, "status");
        service.deploy_reason = text(*deploy, "reason");
    }
    if (const Json* const paused = from.find("paused"); paused != nullptr && !paused->is_null()) {
        service.is_paused = true;
        service.paused_since = text(*paused, "since");
        service.paused_by = text(*paused, "by");
        service.paused_until = text(*paused, "until");
    }
    for (const Json& instance : list(from, "instances")) {
        service.instances.push_back(instance_of(instance));
    }
    return service;
}

}  // namespace

std::int64_t ServiceView::in_flight() const {
    std::int64_t sum = 0;
    for (const InstanceView& instance : instances) sum += instance.in_flight;
    return sum;
}

const ServiceView* SystemView::find(std::string_view service) const {
    for (const ServiceView& each : services) {
        if (each.name == service) return &each;
    }
    return nullptr;
}

Result<SystemView> read_system(std::string json) {
    const Json read = TRY(read_answer(json));
    SystemView system;
    system.name = text(read, "name");
    system.id = text(read, "id");
    system.folder = text(read, "folder");
    system.revision = number(read, "revision");
    system.phase = text(read, "phase");
    system.is_settled = read.boolean_at("settled").value_or(false);
    system.trouble = text(read, "trouble");
    system.notes = texts(read, "notes");
    for (const Json& fault : list(read, "faults")) {
        system.faults.push_back({number(fault, "id"), text(fault, "service"), text(fault, "text"),
                                 text(fault, "until")});
    }
    for (const Json& role : list(read, "roles")) system.roles.push_back(role_of(role));
    for (const Json& service : list(read, "services")) {
        system.services.push_back(service_of(service));
    }
    system.json = std::move(json);
    return system;
}

int verdict_of(const SystemView& system, std::string_view only) {
    int verdict = kServing;
    for (const ServiceView& service : system.services) {
        if (!only.empty() && service.name != only) continue;
        if (!service.serves()) return kNotReached;
        // Of `restart` and `scale`: how the last release fared is not what was asked.
        if (!only.empty()) continue;
        // A broken release never ran: what should be was not reached, though the old one may serve.
        if (service.is_broken()) return kNotReached;
        if (service.is_reversed()) verdict = kReversed;
    }
    return verdict;
}

}  // namespace thole::cli
