// `GET /api/v1/system` as values. Keys that are missing read as empty: an older control may not
// send them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace thole::cli {

struct RoleView {
    std::string role;
    std::int64_t pid = 0;
    std::string state;
    std::int64_t starts = 0;
    std::string since;
};

struct InstanceView {
    std::string name;
    std::int64_t release = 0;
    std::int64_t pid = 0;
    std::int64_t port = 0;
    std::string state;
    std::string reason;
    std::string since;
    std::int64_t restarts = 0;
    std::int64_t in_flight = 0;
    std::int64_t requests = 0;
    std::int64_t errors = 0;
};

struct ServiceView {
    std::string name;
    std::string state;
    std::string reason;
    std::int64_t instances_wanted = 0;
    std::int64_t instances_ready = 0;
    std::int64_t release = 0;
    std::int64_t release_wanted = 0;
    std::string deploy_status;  // Empty: none yet.
    std::string deploy_reason;
    std::string address;
    std::string shares;  // "v2 1%, v1 99%"; empty: none are set.
    bool is_paused = false;
    std::string paused_since, paused_by;
    std::string paused_until;  // Empty: until it is resumed.
    std::int64_t held = 0;
    std::int64_t state_bytes = 0;
    std::int64_t state_bytes_wanted = 0;
    std::vector<InstanceView> instances;
    std::vector<std::string> last_lines;

    // Requests and tunnels at its instances.
    std::int64_t in_flight() const;
    bool serves() const {
        return state == "serving" || (instances_wanted == 0 && state == "stopped");
    }
    bool is_reversed() const { return deploy_status == "reversed"; }
    bool is_broken() const { return deploy_status == "broken"; }
};

struct FaultView {
    std::int64_t id = 0;
    std::string service;
    std::string text;  // Whom it hurts and how.
    std::string until;
};

struct SystemView {
    std::string name;
    std::string id;
    std::string folder;
    std::int64_t revision = 0;
    std::string phase;
    bool is_settled = false;
    std::string trouble;
    std::vector<std::string> notes;
    std::vector<FaultView> faults;  // On purpose, those that are on.
    std::vector<RoleView> roles;
    std::vector<ServiceView> services;
    std::string json;  // As it came.

    const ServiceView* find(std::string_view service) const;
};

Result<SystemView> read_system(std::string json);

// What became of the services (of one, where `only` names it), as an exit code.
int verdict_of(const SystemView& system, std::string_view only);

}  // namespace thole::cli
