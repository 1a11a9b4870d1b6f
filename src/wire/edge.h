// What control and the edge say to each other over `edge.sock`. Control connects, one link at a
// time (a new one replaces the old). No descriptors travel here. Everything control says carries a
// sequence number of control's, is answered once **every worker of the edge applied it**, and may
// be repeated. Answers come in the order of what was asked, but for those to snapshots: they wait
// for the disk, and are in order among themselves.
//
// An endpoint is one instance: its index is the slot, its identity (slot, generation). It serves
// where no author's bit is set. `EndpointsApplied` is the promise on which a deploy stands: from
// now on no worker attaches a further request to an endpoint that does not serve. Requests attached
// before are named in it, page by page, and count as in flight.
#pragma once

#include <cstdint>
#include <iterator>

#include "wire/keeper.h"

namespace thole::wire {

enum class EdgeMessage : std::uint16_t {
    // control -> edge
    Hello = 1,
    Snapshot = 2,   // Activate the snapshot file of this version, in the edge's folder.
    Endpoints = 3,  // EndpointsHeader, then EndpointChange[count]: changes, or all (full = 1).
    Hold = 4,
    Cut = 5,     // Close what is still open to this endpoint; counted `cut`.
    Why = 6,     // WhyRequest (request.h): what became of a request.
    Fault = 7,   // FaultRequest (fault.h).
    Drain = 8,   // End what lasts (tunnels, event streams) there, each at a moment of its own.
    Shares = 9,  // SharesHeader, ServiceShares[count]: all there are; who is not named has none.
    // edge -> control
    Welcome = 32,
    SnapshotApplied = 33,
    EndpointsApplied = 34,  // EndpointsAppliedHeader, InFlight[count]; more = 1: another page.
    HoldApplied = 35,
    CutDone = 36,
    Stats = 37,   // StatsHeader, EndpointStats[count]: what changed; every 100 ms.
    Broken = 38,  // BrokenHeader, BrokenRequest[count]: begun, not answered by its instance.
    // Only where Hello asked for them, a few each turn. What a route has of durations is told
    // before
    // its counts, so that whoever has the last page of a round has all of it.
    Routes = 39,     // RoutesHeader, RouteStats[count].
    Durations = 40,  // RoutesHeader, RouteDurations[count].
    Found = 41,      // WhyHeader, RequestRecord[count] (request.h).
    DrainApplied = 42,
    Refusals = 43,  // RefusalsHeader, RefusalStats[count] (refusal.h).
    SharesApplied = 44,
    FaultApplied = 48,
    Faults = 49,  // FaultsHeader, FaultState[count] (fault.h).
    Queued = 50,  // QueuedCount: when it has changed.
    // By an edge that has taken another one's place: first of all, to whoever greets. By one that
    // was to be replaced, and goes on: once, new_pid 0.
    Upgraded = 51,
};

// Authors of an endpoint's state, one bit each.
enum EndpointBits : std::uint32_t {
    kBitEdge = 1,      // Ejected by traffic.
    kBitControl = 2,   // Not ready, or draining.
    kBitOperator = 4,  // Taken out by hand.
    kBitGone = 8,      // The instance is no more; the slot may come again with another generation.
};

enum HelloFlags : std::uint32_t { kWantsRoutes = 1 };

struct HelloToEdge {
    std::uint32_t version;
    std::uint32_t wants;  // HelloFlags
    char build[32];
};
static_assert(sizeof(HelloToEdge) == 40);

struct Welcome {
    std::uint32_t version;
    std::uint32_t pid;
    std::uint64_t epoch;               // Grows with every edge on this segment, take-overs too.
    std::uint64_t snapshot_version;    // Active now; 0 is none.
    std::uint64_t endpoints_sequence;  // Last one applied.
    std::uint32_t workers;
    std::uint32_t shared;  // Services with shares now.
    char build[32];
};
static_assert(sizeof(Welcome) == 72);

struct Upgraded {
    std::uint32_t old_pid;
    std::uint32_t new_pid;
    std::uint32_t connections;  // Of clients, handed over; tunnels among them.
    std::uint32_t tunnels;
    std::uint32_t lost;  // What the records of it did not fit; those were closed.
    std::uint32_t reserved;
    std::int64_t quiet;  // Nanoseconds in which no byte moved.
    char reason[128];    // Why nothing was handed over, NUL-padded.
};
static_assert(sizeof(Upgraded) == 160);

struct SnapshotRequest {
    std::uint64_t sequence;
    std::uint64_t version;  // The file is `snapshot.<version>` in the edge's folder.
};
struct SnapshotApplied {
    std::uint64_t sequence;
    std::uint64_t version;
    // 0, or errno: the one before stays active. That one's file has to stay until a later one is
    // active, and each that was asked for since.
    std::int32_t error;
    std::uint32_t reserved;
    char reason[104];
};
static_assert(sizeof(SnapshotApplied) == 128);

struct EndpointsHeader {
    std::uint64_t sequence;
    std::uint32_t count;
    std::uint32_t full;  // 1: whoever is not listed is gone.
};
struct EndpointChange {
    SlotRef at;
    std::uint32_t service;  // Id in the snapshot.
    std::uint32_t release;  // Number of the release, for counting.
    std::uint32_t address;  // IPv4, host byte order.
    std::uint16_t port;
    std::uint16_t reserved;
    std::uint32_t bits;    // kBitControl, kBitOperator and kBitGone; the edge keeps its own.
    std::uint32_t weight;  // Reserved; 100.
};
static_assert(sizeof(EndpointChange) == 32);

// Which release of a service takes which part of its requests. Not in the snapshot: that waits for
// the disk, and its listeners and routes have nothing to do with it; and not in an endpoint: what
// the releases of a service share changes as a whole, or a user would be sent to and fro in
// between. A release that is not named gets nothing as long as one that is serves.
constexpr std::uint32_t kSharesMax = 8;  // Releases of one service.
constexpr std::uint32_t kSharesWhole = 1000;
struct ReleaseShare {
    std::uint32_t release;
    std::uint32_t per_mille;
};
struct ServiceShares {
    std::uint64_t salt_low;  // Who goes where: kept as long as the same releases share.
    std::uint64_t salt_high;
    std::uint32_t service;  // In order, each once. One that no snapshot names yet begins so.
    std::uint32_t count;    // 1 to kSharesMax.
    // Each once, kSharesWhole in all; the newest first: then a release that grows loses nobody.
    ReleaseShare of[kSharesMax];
};
static_assert(sizeof(ServiceShares) == 88);
struct SharesHeader {
    std::uint64_t sequence;
    std::uint32_t count;
    std::uint32_t reserved;
};
struct SharesApplied {
    std::uint64_t sequence;
};

struct RequestId {
    std::uint64_t high;
    std::uint64_t low;
};

struct EndpointsAppliedHeader {
    std::uint64_t sequence;
    std::uint32_t count;
    std::uint32_t more;
};
struct InFlight {
    SlotRef at;
    RequestId request;
};
static_assert(sizeof(InFlight) == 24);

struct HoldRequest {
    std::uint64_t sequence;
    std::uint32_t service;
    std::uint32_t on;  // 1: requests wait, 0: go on. Requests wait anyway where a service has no
                       // endpoint that serves. A service that no snapshot names yet begins so.
};

// In every worker; Stats come before it, so that in_flight is what was begun before.
struct HoldApplied {
    std::uint64_t sequence;
    std::uint32_t service;
    std::uint32_t on;  // 0 also where no snapshot names it yet.
};

struct CutRequest {
    std::uint64_t sequence;
    SlotRef at;
};
struct CutDone {
    std::uint64_t sequence;
    SlotRef at;
    std::uint32_t cut;
    std::uint32_t reserved;
};

// The moments are spread over `within_ns` from now; what does not end by then stays, until it is
// cut. Asked again, those that are left get new ones. An edge forgets it when it dies.
struct DrainRequest {
    std::uint64_t sequence;
    SlotRef at;
    std::int64_t within_ns;
};
constexpr std::int64_t kDrainNsMax = 86'400'000'000'000;
struct DrainApplied {
    std::uint64_t sequence;
    SlotRef at;
};

// How a request ended, as its client saw it. Counted per route (listener) and endpoint.
enum class Outcome : std::uint32_t {
    Informational,
    Success,
    Redirect,
    ClientError,
    ServerError,    // By the status that the instance gave.
    ConnectFailed,  // Our 502: no instance took it.
    Reset,          // Our 502, or a response cut short: the instance went away in the middle.
    TimedOut,       // Our 504.
    Overloaded,     // Our 503: held too long, or too many.
    Refused,        // Our 4xx: the request was not HTTP, or its caller not who the port is for.
    ClientGone,     // The client left before its answer was whole.
    Cut,            // Closed at the drain deadline.
    Injected,       // A fault on purpose ended it: an answer of ours, a reset, or silence.
    Count_,
};
constexpr std::uint32_t kOutcomes = static_cast<std::uint32_t>(Outcome::Count_);

struct StatsHeader {
    std::uint64_t epoch;
    std::int64_t time;  // Nanoseconds of CLOCK_BOOTTIME.
    std::uint32_t count;
    std::uint32_t held;  // Requests waiting now.
    std::uint64_t held_ever;
    std::uint64_t replayed_ever;
    std::uint64_t diverted_ever;  // Given to another release than the shares say: that one was out.
    std::int64_t added_wait_max_ns;  // The longest since the edge's segment was made.
    std::uint64_t broken_ever;       // Listed or lost.
    std::uint64_t access_written;    // Lines of access.log,
    std::uint64_t access_dropped;    // and those for which there was no room or no disk.
};
static_assert(sizeof(StatsHeader) == 80);
// Of all services together.
struct QueuedCount {
    std::uint64_t epoch;
    std::uint32_t queued;  // Requests that wait now for a place at their service.
    std::uint32_t reserved;
};
static_assert(sizeof(QueuedCount) == 16);

// Totals since the segment was made, never deltas: a lost message costs nothing. After Hello all
// that is known of every endpoint is said at once, then what changed; and always before
// EndpointsApplied, so that in_flight is never older than the acknowledgement.
//
// A request counts at the endpoint that had it last. begun - in_flight - all outcomes is how often
// one was taken from here and sent again.
struct EndpointStats {
    SlotRef at;
    std::uint32_t in_flight;  // Requests and tunnels.
    std::uint32_t bits;       // All authors.
    std::uint64_t begun;
    std::uint64_t outcomes[kOutcomes];
    std::uint64_t latency_sum_ns;  // Of whole answers; tunnels and event streams are not in it.
    std::uint64_t ended;  // Of the outcomes but `cut`, what was told to end (Drain), and did.
};
static_assert(sizeof(EndpointStats) == 144);

// A request that never met an endpoint, as a slot.
constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};

// Told at least once: after Hello everything that is still kept (the last 512 of each worker, edges
// before this one included) comes again. The request's id tells what is known already.
struct BrokenHeader {
    std::uint64_t epoch;
    std::uint32_t count;
    std::uint32_t lost;  // In all: broke, and another took its place before anybody was told of it.
};
struct BrokenRequest {
    RequestId request;
    SlotRef at;
    std::int64_t begun;  // Nanoseconds of CLOCK_BOOTTIME.
    Outcome outcome;
    std::uint32_t listener;
    char target[72];  // Method and path, cut to fit, NUL-padded.
};
static_assert(sizeof(BrokenRequest) == 112);

struct RoutesHeader {
    std::uint64_t epoch;
    std::uint32_t count;
    std::uint32_t more;  // 0: with this page all has been told.
};
// Totals, as EndpointStats; here requests that never met an endpoint count, too (kNoSlot; release
// 0). After Hello every route is told, then those that counted something. Listener 0: what found no
// place of its own.
enum RouteFlags : std::uint32_t {
    // Its release or its listener has long gone: it is told no more, and its counts are given up.
    kRouteGone = 1
};
struct RouteStats {
    std::uint32_t listener;
    std::uint32_t release;
    std::uint32_t slot;
    std::uint32_t flags;
    std::uint64_t outcomes[kOutcomes];
    std::uint64_t retried;  // Of these: sent more than once,
    std::uint64_t held;     // and those that waited for an endpoint.
    std::uint64_t added_wait_max_us;
};
static_assert(sizeof(RouteStats) == 144);

// Upper ends of the buckets in which control hears of durations, in microseconds. From 5 ms on they
// are those of OpenTelemetry's http.server.request.duration.
constexpr std::uint64_t kDurationBoundsUs[] = {
    250,     500,     1'000,   2'500,   5'000,     10'000,    25'000,    50'000,    75'000,
    100'000, 250'000, 500'000, 750'000, 1'000'000, 2'500'000, 5'000'000, 7'500'000, 10'000'000};
constexpr std::uint32_t kDurationBuckets = std::size(kDurationBoundsUs) + 1;  // The last: longer.
// Outcomes below this one are made by an instance's answer, and timed.
constexpr std::uint32_t kTimedOutcomes = static_cast<std::uint32_t>(Outcome::ServerError) + 1;

// Totals of whole answers; tunnels and event streams are not in it.
struct RouteDurations {
    std::uint32_t listener;
    std::uint32_t release;
    std::uint32_t slot;
    Outcome outcome;
    std::uint64_t sum_ns;
    std::uint64_t counts[kDurationBuckets];  // Each of its bucket alone.
};
static_assert(sizeof(RouteDurations) == 176);

}  // namespace thole::wire
