// What one edge process knows of one descriptor besides its record. Nothing here outlives the
// process.
#pragma once

#include <atomic>
#include <cstdint>

#include "edge/cache_line.h"
#include "edge/patience.h"
#include "edge/router.h"

namespace thole::edge {

// A number that other workers than the one that writes it may look at: whole each time, and in no
// order with anything else.
class Loose {
public:
    Loose(std::uint32_t value) : value_(value) {}
    Loose(const Loose& other) : value_(static_cast<std::uint32_t>(other)) {}
    Loose& operator=(const Loose& other) {
        value_.store(other, std::memory_order_relaxed);
        return *this;
    }
    operator std::uint32_t() const { return value_.load(std::memory_order_relaxed); }
    std::atomic<std::uint32_t>& in_order() { return value_; }

private:
    std::atomic<std::uint32_t> value_;
};

// Private state of one descriptor; owned by the worker that owns the connection. What each request
// needs comes first, and fits into one line.
struct alignas(kLineBytes) Socket {
    std::uint64_t in = 0;         // Bytes read by us.
    std::uint64_t out = 0;        // Bytes written by us.
    std::int64_t since_ns = 0;    // When it last moved, for the time limits.
    std::int64_t turn = 0;        // Clients: that of their worker in which it was stepped last.
    Loose owner = kNone;          // The worker: a number that was closed may be another's now.
    std::uint32_t other = kNone;  // Upstream: its client.
    bool is_open = false;
    bool can_read = false;
    bool may_end = false;  // The kernel has told of an end: it is read even after a short read.
    bool can_write = false;
    bool is_connecting = false;
    bool has_ended = false;  // The peer sends no more, and all it sent was read.
    bool was_reset = false;  // It ends by an error, not by its end: there may have been more.
    bool is_broken = false;
    bool was_reused = false;  // Upstream: idle before this exchange.
    bool is_retry = false;    // Upstream: carries a retry.
    bool is_awaited = false;  // Upstream: its answer has not begun.
    bool is_poison = false;   // The edge before died over this one.
    bool is_shut = false;     // We have said that we send no more.
    bool has_place = false;   // Upstreams, and clients that have none: counts at its service.
    bool is_queued = false;   // Clients: in a line of the entrance.
    bool is_held = false;
    bool is_starved = false;  // Clients: in the list of those that wait for a block.
    bool is_paced = false;    // Clients: a fault may make their bodies slow.
    // The place of the one it waits for, has a place at, or is an upstream to.
    std::uint32_t service = 0;
    bool outlived = false;    // Clients: the tunnel's instance ended its side first.
    bool lost = false;        // Clients: the tunnel's instance is no more.
    bool is_low = false;      // Clients: the line is that of low priority.
    bool is_pausing = false;  // Clients: before a further attempt, which is under way so far.
    // Clients that have no owner yet: the worker that is to take it. Who accepted it writes this
    // last, in order.
    Loose handed_to = kNone;
    std::uint32_t place = 0;    // Clients: where it stands in the worker's list.
    std::int64_t made_ns = 0;   // Upstreams: since when there is a connection.
    std::uint32_t peer = 0;     // Clients: who, in network order; 0 is not asked yet.
    BodyTime body;              // Clients: what time is left for the body of its request.
    Stall stall;                // Clients: whether it takes its answer.
    std::int64_t alarm_ns = 0;  // Clients: when it is woken next; 0: not.
    std::int64_t held_until_ns = 0, held_as = 0;  // Clients: in this order those that wait go.
    std::int64_t queued_ns = 0;  // Clients: since when it waits in line for a place,
    std::uint32_t older = kNone, newer = kNone;  // between these.
    std::int64_t paced_ns = 0;  // Before that a fault lets nothing more be written here.
    std::uint64_t aimed = 0;    // Clients: faults (by place) that may hurt it where it goes,
    std::uint32_t aim = 0;      // and the place of the one that then does.
    Departure departure;        // Clients.
    std::uint32_t held_bytes = 0;
    // Clients: when we end what lasts, or an idle connection; 0: not at all.
    std::int64_t ends_ns = 0;
};

}  // namespace thole::edge
