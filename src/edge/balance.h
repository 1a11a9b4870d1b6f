// Which endpoint takes a request: the less loaded of two drawn at random (power of two choices,
// Mitzenmacher 2001). Pure.
#pragma once

#include <cstdint>
#include <span>

#include "base/random.h"

namespace thole::edge {

struct Candidate {
    std::uint32_t slot = 0;
    std::uint32_t in_flight = 0;
    std::uint32_t latency_us = 0;  // Moving average; 0 is not known yet.
};

// Index into `candidates`, which is not empty. Load is (in flight + 1) × latency; a latency that is
// not known counts as the other's, so that a new endpoint is neither flooded nor starved.
std::size_t choose(std::span<const Candidate> candidates, Random& random);

// Whether a worker with so many clients gives the next one to another that has so many. A small
// difference is left: to hand on costs the client a wake-up.
bool should_hand_on(std::uint32_t own, std::uint32_t others);

// The next moving average after a request that took this long.
std::uint32_t average_latency(std::uint32_t before_us, std::uint32_t took_us);

}  // namespace thole::edge
