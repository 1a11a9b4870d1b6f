// A snapshot from its file into the segment: services with their limits, listeners with their
// descriptors. Main's own. Workers go by it once they have applied what stands there.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "edge/runtime.h"

namespace thole::edge {

struct EdgeFolders {
    std::string run;
    std::string data;
};

// All or nothing: what cannot be had whole leaves the one before as it is.
Status load_snapshot(Segment& segment, const EdgeFolders& folders, std::uint64_t version);
// Once every worker has applied it: closes our copies of the listeners that it has dropped.
void close_dropped_listeners(Segment& segment);
// The version that was activated last, 0 where there is none.
std::uint64_t last_snapshot(const EdgeFolders& folders);
// What the next edge starts from, should this one's segment be lost, too.
Status keep_last_snapshot(const EdgeFolders& folders, std::uint64_t version);

}  // namespace thole::edge
