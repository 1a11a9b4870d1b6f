// The blocks of the segment that are nobody's, of one worker: a successor finds them anew.
#pragma once

#include <cstdint>
#include <vector>

#include "edge/segment.h"

namespace thole::edge {

struct Blocks {
    std::vector<std::uint32_t> rings, heads, exchanges;
    // From here on, every kWorkers-th, none was ever used: memory that nobody touched.
    std::uint32_t exchanges_untouched = kExchanges;

    // None is left only in memory that an edge before us has left scattered.
    std::uint32_t take_exchange();
};

}  // namespace thole::edge
