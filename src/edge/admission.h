// Who may go to a service, who waits for a place, who is refused: a cap on what is in flight, a
// bounded queue, two priorities. Pure: the queue itself is the worker's.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/random.h"

namespace thole::edge {

enum class Priority : std::uint8_t { Normal, Low };

// `Priority: u=6` and above is low (RFC 9218 section 4.1: 0 to 7, 3 without it, 7 is background
// work). What is malformed says nothing. A request can only lower itself: there is nothing above
// normal to ask for.
Priority priority_of(std::string_view field);

// Of one service, over all workers, at this moment.
struct Load {
    std::uint32_t in_flight = 0;  // Until the last byte.
    std::uint32_t in_flight_max = 0;
    std::uint32_t waiting_normal = 0;
    std::uint32_t waiting_low = 0;
    std::uint32_t waiting_max = 0;
    std::int64_t longest_wait_ns = 0;  // Of who waits for longest; 0: nobody does.
};

// Places that one of this priority may take.
std::uint32_t places_for(const Load& load, Priority priority);

enum class Entry : std::uint8_t {
    Admit,
    Queue,
    QueueForOldestLow,     // Queued in the place of the one of low priority that waits for longest,
    QueueForOldestNormal,  // or of normal priority; that one is refused.
    Refuse,                // 503 with Retry-After.
};

// For a request that has just come. Nobody overtakes one of its own priority that waits, but by
// next() once there is overload.
Entry admit(const Load& load, Priority priority);

enum class Next : std::uint8_t { Nobody, OldestNormal, NewestNormal, OldestLow, NewestLow };

// Whose turn it is, after a request has ended or the cap has grown. Normal before low; the oldest
// first, the newest under overload, so that at least some are answered while their clients wait.
Next next(const Load& load);

// Whoever waits for so long is refused, whatever its place.
bool has_waited_too_long(std::int64_t wait_ns);

// Seconds for Retry-After: what waits now is done by then, at the speed that is usual; from 1 to
// 30, and spread by half, so that all who are refused in one moment do not come back in one.
std::uint32_t retry_after_seconds(const Load& load, std::uint32_t latency_us, Random& random);

}  // namespace thole::edge
