// What the edge counts, in memory that outlives it: one writer a worker, any reader sums. Counts
// are exact although the edge may be killed at any instruction: what an end changes is written down
// first (Redo), counts once the exchange's commit stands, and is done again by the next edge.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "edge/black_box.h"
#include "edge/latency.h"
#include "edge/records.h"
#include "wire/edge.h"
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
    std::atomic<std::uint64_t> latency_sum_ns;
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
    static constexpr std::uint32_t kStoresMax = 11;
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
    std::atomic<std::int64_t> added_wait_max_ns;
    EndpointCounters endpoints[wire::kSlotsMax][2];
    // A bit of each place that was ever taken: so that who looks for routes touches no other
    // memory.
    std::atomic<std::uint64_t> routes_used[kRoutesMax / 64];
    RouteCounters routes[kRoutesMax];
    BrokenRing broken;
    BlackBox box;
    LatencyHistogram latencies[wire::kSlotsMax][2];
    RouteLatencies route_latencies[kRoutesMax];
};

// The writer's side.
class Counting {
public:
    explicit Counting(WorkerCounters& memory) : memory_(memory) {}

    void attached(wire::SlotRef at);
    void released(wire::SlotRef at);
    // It was counted as ended well, and now its instance is known to have died in that moment.
    void broke_after_all(const Exchange& exchange, const End& how);
    // How long a request waited more than it had to.
    void waited(std::int64_t added_ns);
    void held();

    // The exchange has ended for its client; counted once, by a commit that changes it as given.
    template <typename Change>
    void end(const ExchangeAt& at, std::uint32_t fd, const End& how, Change change) {
        if ((current(at).flags & kCounted) != 0) return commit(at, change);
        prepare_end(at, fd, how);
        commit(at, [&](Exchange& next) {
            next.flags |= kCounted;
            change(next);
        });
        apply();
    }
    // The same, and the client's next request begins.
    void end_whole(const ExchangeAt& at, std::uint32_t fd, const End& how);
    // The attempt has ended, the request goes elsewhere.
    template <typename Change>
    void replay(const ExchangeAt& at, std::uint32_t fd, Change change) {
        prepare_replay(at, fd);
        commit(at, change);
        apply();
    }

    // After a death: does what stands in Redo and counts.
    void recover(std::span<const Record> records);
    // Before adoption counts what is in flight.
    void forget_in_flight(std::uint32_t slot);

private:
    EndpointCounters* find(wire::SlotRef at);
    std::uint32_t route_of(const Exchange& exchange, std::int64_t now_ns);
    void take_route(std::uint32_t place, const Exchange& exchange);
    void mark_used(std::uint32_t place);
    void begin(const Record& record, std::uint32_t fd);
    void store_later(std::atomic<std::uint64_t>& counter, std::uint64_t value);
    void ready();
    void prepare_end(const ExchangeAt& at, std::uint32_t fd, const End& how);
    void count_troubles(RouteCounters& route, const wire::RequestRecord& ended);
    void prepare_replay(const ExchangeAt& at, std::uint32_t fd);
    void keep_broken(const Exchange& exchange, const End& how);
    void apply();

    WorkerCounters& memory_;
    std::uint32_t count_ = 0;
};

// The outcome that a status of the instance's makes.
wire::Outcome outcome_of(std::uint32_t status);

}  // namespace thole::edge
