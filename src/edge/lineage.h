// Who else lives on a segment. An edge that keeper starts takes over the memory of one that died
// together with its holder, as far as keeper knows. But that holder may have cloned one of its own,
// which keeper never heard of: two edges on one segment would ruin each other's connections.
#pragma once

namespace thole::edge {

struct Segment;

// SIGKILL to every other process that maps the segment behind this descriptor, one after the other;
// waits for the end of each, but for no more than a second. What is cloned meanwhile must find out
// by Segment::lineage.
void end_others_on(int segment);

// This process ends, and no holder takes its place, whenever it was cloned.
[[noreturn]] void end_lineage(Segment& segment);
// The same on wire::kSignalEndOfLineage. Once, before anything is cloned.
void end_lineage_when_told(Segment& segment);

}  // namespace thole::edge
