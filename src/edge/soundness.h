// What must hold of the memory that an edge left, whatever has written to it: a value that cannot
// be is found before anybody goes by it. What looks right and is not cannot be told apart, but for
// one thing: whose bytes lie in a block, which is written down beside it. So no damage can send
// what one client said, or was told, to another.
#pragma once

#include <cstdint>

#include "edge/segment.h"

namespace thole::edge {

// All that everybody goes by: tables, listeners, faults on purpose. Without them nobody can serve
// from this memory.
bool is_whole(const Segment& segment);

// Of a client that has one, by itself: how it fits to its sockets is adoption's to find out.
bool is_sound(const Record& client, const Exchange& exchange, std::int64_t now_ns);

// Whether what lies in its ring from this position on is its own.
bool owns_ring(const Segment& segment, const Record& record, std::uint64_t from);
// Whether a flow of this client's has no head, or one that is its own, in full.
bool owns_head(const Segment& segment, const Record& client, const Flow& flow);

}  // namespace thole::edge
