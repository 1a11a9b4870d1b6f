// What an edge takes over from the one before it: every descriptor of the shared table whose record
// fits what the kernel says of it. All else is closed. No byte moves on any socket while this runs.
#pragma once

#include <span>

#include "edge/runtime.h"

namespace thole::edge {

struct Adopted {
    std::uint32_t clients = 0;
    std::uint32_t fresh = 0;  // Accepted by the dead edge, and not recorded.
    std::uint32_t idle = 0;
    std::uint32_t closed = 0;  // Clients whose record did not hold.
};

// `keep` are descriptors of our own, besides standard ones and those the segment names.
Adopted adopt_all(Runtime& runtime, std::span<const int> keep);

// After the death of edge and holder, whose descriptors died with them: what was begun is counted
// and listed, and no record counts any more.
void count_what_died(Segment& segment);

}  // namespace thole::edge
