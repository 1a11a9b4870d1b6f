// A snapshot from its file into the segment: services with their limits, listeners with their
// descriptors. Main's own. Workers go by it once they have applied what stands there.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "edge/runtime.h"
#include "os/fd.h"
#include "wire/snapshot.h"

namespace thole::edge {

struct EdgeFolders {
    std::string run;
    std::string data;
};

// One that may be activated: read, within its bounds, and with the listeners that are not here yet.
struct NextSnapshot {
    std::uint64_t version = 0;
    wire::Snapshot content;
    std::map<std::uint32_t, os::FileDescriptor> listeners;  // By id.
};

// All or nothing: what cannot be had whole leaves the one before as it is.
Result<NextSnapshot> prepare_snapshot(Segment& segment, const EdgeFolders& folders,
                                      std::uint64_t version, std::string_view bytes);
// `held`: of services that are new, those that begin held.
void put_snapshot(Segment& segment, NextSnapshot& next, const std::set<std::uint32_t>& held);
// Once every worker has applied it: lets go of services that it has not, and closes our copies of
// the listeners that it has dropped.
void drop_what_is_left(Segment& segment, const NextSnapshot& applied);
// The one that an edge without a segment begins with: the last that was activated, or was about to
// be; without the listeners that keeper has no more. From the disk, and so only before anything is
// served.
Result<NextSnapshot> read_last_snapshot(Segment& segment, const EdgeFolders& folders);

}  // namespace thole::edge
