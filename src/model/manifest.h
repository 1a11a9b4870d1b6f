// What `thole.yaml` says, as plain values: checked, defaults filled in, phrases expanded. Nothing
// here reads a file; manifest/ makes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "model/defaults.h"

namespace thole::model {

// What to run. A list is argv; a text runs under /bin/sh -c.
struct Command {
    std::vector<std::string> words;  // One word where it is a text.
    bool is_shell = false;
    bool empty() const { return words.empty(); }
    bool operator==(const Command&) const = default;
};

struct PublicSpec {
    std::uint16_t port = 0;
    std::string bind = "127.0.0.1";  // IPv4; without TLS only loopback unless it is said.
    bool operator==(const PublicSpec&) const = default;
};

enum class PortUse : std::uint8_t {
    Given,  // We choose, and say it in PORT.
    Fixed,  // It listens there whatever PORT says: one copy.
    None,   // It listens nowhere: a worker.
};

struct HealthSpec {
    std::string ready;  // Path of the probe; empty: /readyz, /healthz and /up are tried, else TCP.
    Duration startup = kStartupLimit;  // Until the first readiness.
    bool operator==(const HealthSpec&) const = default;
};

struct ServiceSpec {
    std::string name;
    std::string path;  // Of its sources, relative to the manifest's folder.
    Command build;     // Empty: nothing to build.
    Command run;       // Never empty.
    PortUse port_use = PortUse::Given;
    std::uint16_t port = 0;  // Fixed only.
    std::optional<PublicSpec> at_public;
    std::vector<std::string> calls;  // Names of services, each once.
    std::vector<std::pair<std::string, std::string>> environment;
    HealthSpec health;
    int scale = 1;
    Duration stop_grace = kStopGrace;  // From SIGTERM to SIGKILL.
    std::int64_t state_bytes = 0;      // 0: keeps nothing.
    std::string user;                  // Empty: an unprivileged one of its own.
    bool operator==(const ServiceSpec&) const = default;

    // Two copies must never run at once: they would share data or a port.
    bool is_single() const { return state_bytes > 0 || port_use == PortUse::Fixed; }
};

struct Manifest {
    std::string name;
    std::vector<ServiceSpec> services;  // In the order of the file; names are unique.
};

// "ORDERS_WORKER_URL" of "orders-worker".
std::string url_variable(const std::string& service);

}  // namespace thole::model
