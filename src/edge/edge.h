// The program: makes or finds the segment, clones the holder, serves. Never returns but with an
// error.
#pragma once

#include <string>

#include "base/result.h"

namespace thole::edge {

struct EdgeOptions {
    std::string run_folder;
    std::string data_folder;
};

// Descriptor 3 is the listening socket for control.
Status run_edge(const EdgeOptions& options);

}  // namespace thole::edge
