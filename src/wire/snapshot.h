// The snapshot: all that the edge serves but endpoints. Control writes it to disk (write, fsync,
// rename, fsync the folder) before it asks the edge to activate it; a new edge starts from the last
// one.
//
//     snapshot = magic:u32 format:u32 version:u64 services listeners checksum:u32 (ByteWriter's
//     encoding)
//
// Format 3 adds to each listener its networks and routes, and to each service the limits of clients
// that are slow; format 4 to each service what its manifest says of requests; format 5 what
// these may do. Those of older formats, which an older control wrote, are read with the usual
// values for the rest, and with every upgrade but that to HTTP/2.
//
// Ids are control's and stable: a service keeps its id for ever, a listener as long as keeper has
// it parked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace thole::wire {

constexpr std::uint32_t kNoService = ~std::uint32_t{0};

// Of all times below: longer ones would overflow sums.
constexpr Duration kSnapshotTimeMax = std::chrono::hours(24 * 3660);
// Of requests in flight, and of those that wait for a place among them.
constexpr std::uint32_t kSnapshotRequestsMax = 65535;

struct SnapshotLimits {
    Duration connect{};        // To an instance.
    Duration response_head{};  // From the request's last byte to the response's head.
    Duration idle{};           // Keep-alive between requests, and each pause inside a body.
    Duration tunnel{};         // Silence in a tunnel or an event stream.
    Duration hold{};           // How long a request may wait for an endpoint that serves.
    std::uint32_t held_requests_max = 0;
    std::uint32_t held_bytes_max = 0;
    Duration write_stall{};                   // A client that takes nothing of its answer.
    Duration body_grace{};                    // Before the least rate of a request's body counts.
    std::uint64_t body_bytes_max = 0;         // Of a request; 0: any.
    std::uint32_t body_bytes_per_second = 0;  // At least; 0: any.
    Duration total{};                         // From a request's head to its answer's; 0: any.
    std::uint32_t in_flight_max = 0;          // Requests at one time; 0: any.
    std::uint32_t queued_max = 0;             // That wait for a place among these.
};

// What a service's requests may do.
enum PolicyFlags : std::uint32_t {
    kReportsRules = 1,  // One that breaks a rule of which nobody can make two things is served.
    kKeepsEncodedSlash = 2,  // "%2f" passes where a prefix of the path decides.
    kAnyUpgrade = 4,         // To any protocol but HTTP/2.
};
constexpr std::size_t kUpgradesBytesMax = 59;
// By what the requests of one user are known, so that all go to one release.
enum class StickyBy : std::uint32_t { Nothing, Cookie, Header };
constexpr std::size_t kStickyNameMax = 64;
struct SnapshotSticky {
    StickyBy by = StickyBy::Nothing;
    std::string name;  // Of the cookie or the header; empty: by nothing.
};

struct SnapshotService {
    std::uint32_t id = 0;
    std::string name;
    SnapshotLimits limits;
    SnapshotSticky sticky = {};
    std::uint32_t request_flags = 0;  // PolicyFlags
    // Tokens in small letters, as in Upgrade: "websocket, echo". At most kUpgradesBytesMax.
    std::string upgrades = {};
};

enum class ListenerKind : std::uint32_t { Public = 1, Call = 2 };

// Bounds of all listeners together; those of a manifest are narrower.
constexpr std::uint32_t kRoutesMax = 2048;
constexpr std::uint32_t kNetworksMax = 32 * 1024;
constexpr std::size_t kRouteHostMax = 253;  // RFC 1035 section 2.3.4
constexpr std::size_t kRoutePathMax = 255;

// Of IPv4, in the machine's byte order.
struct SnapshotNetwork {
    std::uint32_t address = 0;
    std::uint32_t bits = 0;  // 0 to 32; those of the address beyond them are 0.
};

struct SnapshotRoute {
    std::string host;  // Small letters; "*.example.com"; empty: any.
    std::string path;  // A prefix without its last '/'; empty: any.
    std::uint32_t service = 0;
};

struct SnapshotListener {
    std::uint32_t id = 0;  // As parked in keeper.
    ListenerKind kind = ListenerKind::Public;
    std::uint32_t service = 0;          // Who answers.
    std::uint32_t caller = kNoService;  // Call: who may ask.
    std::uint32_t caller_uid = 0;       // Call: the uid that the kernel must name,
    std::uint32_t caller_uid_too = 0;   // or this one, while one user's release follows another's.
    std::uint32_t check_caller =
        0;  // 1: services have uids of their own, so a wrong one is refused.
    std::vector<SnapshotNetwork> trust = {};  // Public: whose forwarded fields are believed.
    // Public: who answers instead of `service`; what none of them is for, nobody answers. Empty:
    // the service, whatever the host and path.
    std::vector<SnapshotRoute> routes = {};
};

struct Snapshot {
    std::uint64_t version = 0;
    std::vector<SnapshotService> services;
    std::vector<SnapshotListener> listeners;
};

std::string write_snapshot(const Snapshot& snapshot);
// Checks everything: checksum, bounds, that ids and routes are unique, and that listeners and
// routes name services that are there.
Result<Snapshot> read_snapshot(std::string_view bytes);

}  // namespace thole::wire
