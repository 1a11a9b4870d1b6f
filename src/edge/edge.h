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
};

// Descriptor 3 is the listening socket for control.
Status run_edge(const EdgeOptions& options);

}  // namespace thole::edge
