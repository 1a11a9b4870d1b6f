// Who may live on a segment. An edge that keeper starts takes over the memory of one that died
// together with its holder, as far as keeper knows. But that holder may have cloned one of its own,
// which keeper never heard of: two edges on one segment would ruin each other's connections. And an
// edge that is being replaced offers its place, while it may die at any instant (decision 8).
//
// Segment::lineage: the number of the line that may serve (high half); odd, where it is offered
// (low half). It only grows, and whoever changes it has decided.
#pragma once

#include <atomic>
#include <cstdint>

namespace thole::edge {

struct Segment;
using Lineage = std::atomic<std::uint64_t>;

constexpr std::uint32_t line_of(std::uint64_t lineage) {
    return static_cast<std::uint32_t>(lineage >> 32U);
}
// A new line, whatever was: every process of those before finds out, and ends.
void begin_line(Lineage& lineage);
// By the edge of this line: what take_offer() wants; nothing (0) where the line is not it any more.
std::uint64_t open_offer(Lineage& lineage, std::uint32_t line);
// Gives up what may be offered: false where it was taken, or another line has begun. Then whoever
// asks ends. Asked by the edge itself, and by its holder once the edge is dead.
bool close_offer(Lineage& lineage, std::uint32_t line);
// A new line begins, where the offer still stands.
bool take_offer(Lineage& lineage, std::uint64_t offer);

// SIGKILL to every other process that maps the segment behind this descriptor, one after the other;
// waits for the end of each, but for no more than a second. What is cloned meanwhile must find out
// by Segment::lineage.
void end_others_on(int segment);

// This process ends, and no holder takes its place, whenever it was cloned.
[[noreturn]] void end_lineage(Segment& segment);
// The same on wire::kSignalEndOfLineage. Once, before anything is cloned.
void end_lineage_when_told(Segment& segment);

}  // namespace thole::edge
