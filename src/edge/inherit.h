// The new edge's side of an upgrade (decision 8): takes what the old one hands over, each
// descriptor at the number that it had there, and then, by one word of the segment, its place.
// Before that whatever goes wrong ends this process, and the old one goes on. One thread.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "edge/hand_over_link.h"
#include "os/fd.h"

namespace thole::edge {

// What has been handed over. Descriptors stay open as long as there are edges after this one.
struct Inheritance {
    int memory = -1;  // The segment's.
    std::uint64_t offer = 0;
    std::int64_t since_ns = 0;  // No byte has moved since then.
    std::uint32_t old_pid = 0;
    // Of the edge before and its holder. They mean nobody else, however late they are asked.
    int old_edge = -1;
    int old_holder = -1;
};

// Moves a descriptor to one of the highest numbers, where none of those to come will be.
void move_away(os::FileDescriptor& descriptor);
// Greets, and receives all of it. Only what is above the numbers of the old edge is in the way.
Result<Inheritance> inherit(HandOverLink& link);
// SIGKILL to both that were before; waits for the end of each, but for no more than a second.
void end_those_before(const Inheritance& from);

}  // namespace thole::edge
