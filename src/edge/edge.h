// The program: makes or finds the segment, clones the holder, serves. Never returns but with an
// error.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace thole::edge {

struct EdgeOptions {
    std::string run_folder;
    std::string data_folder;
    // Bytes of memory that it and its buffers may take; less where its cgroup says so. 0: any.
    std::uint64_t memory_max = 0;
    // Takes the place of an edge that serves, to whom descriptor 3 leads.
    bool is_beside = false;
};

// Descriptor 3 is the listening socket for control, but where it is beside another edge.
Status run_edge(const EdgeOptions& options);

}  // namespace thole::edge
