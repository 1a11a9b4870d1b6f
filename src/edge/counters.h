// What the edge counts, in memory that outlives it: one writer a worker, any reader sums. Counts
// are exact although the edge may be killed at any instruction: what an end changes is written down
// first (Redo), counts once the exchange's commit stands, and is done again by the next edge.
#pragma once

#include <atomic>
#include <cstdint>

#include "edge/black_box.h"
#include "edge/latency.h"
#include "edge/leases.h"
#include "edge/records.h"
#include "wire/slots.h"

namespace thole::edge {

constexpr std::uint32_t kRoutesMax = 4096;  // Of one worker; what is more counts as one.
// A route whose release or listener is no more and that counted nothing for so long is told no more
// (route_reports.h), and gives its place to another one where there is no room.
constexpr std::int64_t kRouteIdleNs = 3'600'000'000'000;
// Requests that broke and are listed, of one worker; what is more is only counted.
constexpr std::uint32_t kBrokenKept = 512;

// Of one instance. A slot has two, by the generation's lowest bit, so that the last requests of the
// one before still find theirs.
struct EndpointCounters {
    std::atomic<std::uint32_t> generation;  // Whose; 0: nobody's. Stored last.
    std::atomic<std::uint32_t> in_flight;   // Of this edge; adoption counts anew.
    std::atomic<std::uint64_t> outcomes[wire::kOutcomes];
    std::atomic<std::uint64_t> replayed;  // Begun here, then sent again.
    // Attempts, each by itself, also those after which the request went elsewhere: what an instance
    // is judged by. Not exact over a death.
    std::atomic<std::uint64_t> tries_good;
    std::atomic<std::uint64_t> tries_failed;
    std::atomic<std::uint64_t> tries_late;
    std::atomic<std::uint64_t> latency_sum_ns;
    std::atomic<std::uint64_t> ended;  // Told to, and did.
};

struct RouteCounters {
    std::uint32_t listener;  // 0: free, but for the last one, which counts what found no room.
    std::uint32_t release;
    std::uint32_t slot;
    std::atomic<std::uint32_t> is_used;
    std::atomic<std::uint32_t> has_gone;  // Main's: another may have its place.
    std::uint32_t reserved;
    std::atomic<std::int64_t> used_ns;  // When it counted last.
    // Whoever sees a count sees its duration, too.
    std::atomic<std::uint64_t> outcomes[wire::kOutcomes];
    std::atomic<std::uint64_t> latency_sum_ns[wire::kTimedOutcomes];
    std::atomic<std::uint64_t> retried;            // Sent more than once.
    std::atomic<std::uint64_t> held;               // Waited for an endpoint,
    std::atomic<std::uint64_t> added_wait_max_us;  // or for a further try.
};

struct BrokenRing {
    std::atomic<std::uint64_t> written;
    // Main's: up to which one each was told to a control or is counted as lost.
    std::atomic<std::uint64_t> settled;
    std::atomic<std::uint64_t> lost;
    wire::BrokenRequest requests[kBrokenKept];
};

// Stores that belong to a commit: done before it counts they would be too early, after it a kill
// could lose them. Absolute values, so that doing them twice is harmless.
struct Redo {
    static constexpr std::uint32_t kStoresMax = 12;
    std::uint32_t count;  // 0: nothing is under way. Stored last.
    std::uint32_t fd;
    std::uint64_t cookie;
    std::uint64_t commit;  // They count once the record's commit has come so far.
    struct {
        std::uint64_t offset;  // From the begin of the worker's counters.
        std::uint64_t value;
    } stores[kStoresMax];
};

struct WorkerCounters {
    Redo redo;
    std::atomic<std::uint64_t> held_ever;
    std::atomic<std::uint64_t> replayed_ever;
    std::atomic<std::uint64_t> diverted_ever;
    std::atomic<std::int64_t> added_wait_max_ns;
    EndpointCounters endpoints[wire::kSlotsMax][2];
    // A bit of each place that was ever taken: so that who looks for routes touches no other
    // memory.
    std::atomic<std::uint64_t> routes_used[kRoutesMax / 64];
    RouteCounters routes[kRoutesMax];
    BrokenRing broken;
    BlackBox box;
    LeaseCounters leases[kLeasesMax];
    LatencyHistogram latencies[wire::kSlotsMax][2];
    RouteLatencies route_latencies[kRoutesMax];
};

}  // namespace thole::edge
