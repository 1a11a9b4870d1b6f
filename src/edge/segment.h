// The memory that outlives an edge, as a whole: a sparse memfd, so untouched pages cost nothing.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/check.h"
#include "edge/all_routes.h"
#include "edge/counters.h"
#include "edge/ejection.h"
#include "edge/faults.h"
#include "edge/leases.h"
#include "edge/lineage.h"
#include "edge/records.h"
#include "edge/refusals.h"
#include "edge/shares.h"
#include "wire/edge.h"
#include "wire/slots.h"
#include "wire/snapshot.h"

namespace thole::edge {

constexpr std::uint32_t kLayoutVersion = 18;
// Connections of both sides; one more is closed at once.
constexpr std::uint32_t kDescriptorsMax = 24576;
// Requests under way, of each worker all that can be: no client ever waits for one.
constexpr std::uint32_t kExchanges = 2 * kDescriptorsMax;
static_assert(kExchanges < kNoBlock);
// Buffers: one for each side of which bytes wait, or may have to be sent again.
constexpr std::uint32_t kRings = 4096;
// The largest body that is sent again; a head of the largest allowed size fits, too.
constexpr std::uint32_t kRingBytes = 64 * 1024;
constexpr std::uint32_t kHeads = 8192;           // Two of each exchange.
constexpr std::uint32_t kHeadBytes = 36 * 1024;  // With what we add.
// Of each worker's blocks, which are its share of these, one in so many is for answers alone: else
// requests could take all, and wait for one another.
constexpr std::uint32_t kRingsToOneSpared = 32;
constexpr std::uint32_t kHeadsToOneSpared = 64;
// Also on one processor: so that one that hangs does not stop the other.
constexpr std::uint32_t kWorkers = 2;
constexpr std::uint32_t kSegmentMagic = 0x65676465;

// Main writes while workers read: `bits` out first and in last, `generation` just before that, so
// that what was read between two looks at one generation that serves belongs to it.
struct EndpointEntry {
    std::atomic<std::uint32_t> generation;
    std::atomic<std::uint32_t> service;
    std::atomic<std::uint32_t> release;
    std::atomic<std::uint32_t> address;
    std::atomic<std::uint32_t> port;
    std::atomic<std::uint32_t> bits;        // 0: serves; kBitGone where there is none.
    std::atomic<std::uint32_t> is_suspect;  // Its traffic is bad, but it cannot be left out.
    std::atomic<std::int64_t> since_ns;     // It serves since then, so its share grows; 0: always.
};

// Main's: how an instance's traffic was, so that a successor goes on with it.
struct KeptHealth {
    std::uint32_t generation;  // Whose.
    std::uint32_t reserved;
    EndpointHealth health;
};

// A listener keeps its place as long as it is served; a place is used again in a later snapshot.
// Main writes it, and services, while workers read.
struct ListenerEntry {
    std::atomic<std::uint32_t> id;    // As keeper has parked it; 0: none.
    std::atomic<std::int32_t> fd;     // -1: none.
    std::atomic<std::uint32_t> kind;  // wire::ListenerKind
    std::atomic<std::uint32_t> checks_caller;
    std::atomic<std::uint32_t> caller_uid;
    std::atomic<std::uint32_t> caller_uid_too;
    std::atomic<std::uint32_t> caller;  // The service, or kNone: public.
    std::uint32_t reserved;
};

struct ServiceEntry {
    std::atomic<std::uint32_t> id;
    std::atomic<std::uint32_t> is_used;
    std::atomic<std::uint32_t> holds;   // 1: requests wait, although endpoints serve.
    std::atomic<std::uint32_t> shares;  // Which of Segment::shares counts, 1 or 2; 0: none are set.
    std::atomic<std::uint32_t> held_requests_max;
    std::atomic<std::uint32_t> held_bytes_max;
    std::atomic<std::uint32_t> body_bytes_per_second;
    std::atomic<std::int64_t> connect_ns;
    std::atomic<std::int64_t> response_head_ns;
    std::atomic<std::int64_t> idle_ns;
    std::atomic<std::int64_t> tunnel_ns;
    std::atomic<std::int64_t> hold_ns;
    std::atomic<std::int64_t> write_stall_ns;
    std::atomic<std::int64_t> body_grace_ns;
    std::atomic<std::uint64_t> body_bytes_max;
    std::atomic<std::int64_t> total_ns;        // 0: any.
    std::atomic<std::uint32_t> in_flight_max;  // 0: any.
    std::atomic<std::uint32_t> queued_max;
};

struct Segment {
    std::uint32_t magic;
    std::uint32_t layout;
    std::atomic<std::uint64_t> epoch;      // Edges so far on this segment.
    std::atomic<std::uint64_t> id_blocks;  // Of kIdsOfBlock each, that a worker takes.
    std::uint64_t snapshot_version;
    std::int32_t control_listener;  // Descriptors that every edge here shares.
    std::int32_t memory;
    std::atomic<std::uint32_t> listener_count;  // Places in use, gaps included.
    std::atomic<std::uint32_t> service_count;
    Lineage lineage;  // Whose it is, and whether it is offered: lineage.h.
    // Main's: lines of access.log, and those for which there was no room or no disk.
    std::atomic<std::uint64_t> access_written;
    std::atomic<std::uint64_t> access_dropped;
    Faults faults;
    Hand hands[kWorkers];
    std::atomic<std::uint32_t> routes_now;  // Which of the two counts.
    AllRoutes routes[2];
    ListenerEntry listeners[kListenersMax];
    ServiceEntry services[kServicesMax];
    Shares shares[kServicesMax][2];  // By place. Main writes the one that does not count.
    EndpointEntry endpoints[wire::kSlotsMax];
    Leases leases;
    KeptHealth health[wire::kSlotsMax];
    WorkerCounters counters[kWorkers];
    Refusals refusals[kWorkers];
    Record records[kDescriptorsMax];
    ExchangePair exchanges[kExchanges];
    BlockOwner ring_owners[kRings];
    BlockOwner head_owners[kHeads];
    char rings[kRings][kRingBytes];
    char heads[kHeads][kHeadBytes];
};

inline bool is_call(const ListenerEntry& listener) {
    return listener.kind == static_cast<std::uint32_t>(wire::ListenerKind::Call);
}

// Of a client that has one.
inline ExchangeAt exchange_of(Segment& segment, std::uint32_t fd) {
    Record& record = segment.records[fd];
    const std::uint32_t block = block_of(record);
    CHECK(block < kExchanges);
    return {record, segment.exchanges[block]};
}

}  // namespace thole::edge
