// What `thole.yaml` says, as plain values: checked, defaults filled in, phrases expanded. Nothing
// here reads a file; manifest/ makes it.
#pragma once

#include <compare>
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

// Of IPv4, in the machine's byte order: 10.0.0.0/8.
struct Network {
    std::uint32_t address = 0;
    std::uint32_t bits = 32;  // 0 to 32; those of the address beyond them are 0.
    auto operator<=>(const Network&) const = default;
};

// Services may share a port where they differ by host or path; then they agree on all else.
struct PublicSpec {
    std::uint16_t port = 0;
    std::string bind = "127.0.0.1";   // IPv4; without TLS only loopback unless said.
    std::vector<Network> trust = {};  // Whose forwarded fields are believed; in order, each once.
    // Small letters; "*.example.com" is any one label before it. Empty: whatever the host.
    std::vector<std::string> hosts = {};
    std::string path = {};  // A prefix, "/api": it and all below it. Empty: every path.
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

// What the edge does for the requests to a service; docs/what-the-edge-does.md has each in words.
struct RequestsSpec {
    Duration try_limit = kResponseHeadLimit;  // Of each attempt, until its answer's head is there.
    Duration total_limit{};          // From its head to its answer's, waits and retries included;
                                     // 0: as long as these take.
    Duration tunnel = kTunnelLimit;  // Silence in a tunnel or an event stream.
    std::uint64_t body_bytes_max = kBodyBytesMax;  // 0: any.
    std::uint32_t in_flight_max = kInFlightMax;    // At one time, of all instances together.
    std::uint32_t queued_max = kQueuedMax;         // That wait for a place among these.
    bool reports_rules = false;        // Serves what breaks a rule harmlessly, and counts it.
    bool keeps_encoded_slash = false;  // "%2f" where a prefix of the path decides.
    std::vector<std::string> upgrades = {"websocket"};  // Protocols, in small letters, each once.
    // By which of these a user's requests are told from others', where releases share them; at most
    // one, both empty: by chance, each request by itself.
    std::string sticky_cookie = {};
    std::string sticky_header = {};
    bool operator==(const RequestsSpec&) const = default;
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
    RequestsSpec requests = {};
    int scale = 1;
    Duration stop_grace = kStopGrace;  // From SIGTERM to SIGKILL.
    std::int64_t state_bytes = 0;      // 0: keeps nothing.
    // By its `slo`: of a million requests so many may fail; 0: it has none.
    std::int64_t failures_allowed = 0;
    std::string user;  // Empty: an unprivileged one of its own.
    bool operator==(const ServiceSpec&) const = default;

    // Two copies must never run at once: they would share data or a port.
    bool is_single() const { return state_bytes > 0 || port_use == PortUse::Fixed; }
};

struct Manifest {
    std::string name;
    std::vector<ServiceSpec> services;  // In the order of the file; names are unique.
};

// Whether both would answer for one host and path.
bool have_same_route(const PublicSpec& one, const PublicSpec& other);

// "ORDERS_WORKER_URL" of "orders-worker".
std::string url_variable(const std::string& service);

}  // namespace thole::model
