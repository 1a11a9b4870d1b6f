// The blocks of the segment that are nobody's, of one worker: a successor finds them anew.
#pragma once

#include <cstdint>
#include <vector>

#include "edge/pressure.h"
#include "edge/segment.h"

namespace thole::edge {

struct Blocks {
    std::vector<std::uint32_t> rings, heads, exchanges;
    // From here on, every kWorkers-th, none was ever used: memory that nobody touched.
    std::uint32_t exchanges_untouched = kExchanges;

    // Of the rings and heads, free or not, as many as this edge may use.
    std::uint32_t rings_total = 0, heads_total = 0;

    std::uint32_t rings_spared() const { return rings_total / kRingsToOneSpared; }
    std::uint32_t heads_spared() const { return heads_total / kHeadsToOneSpared; }
    Fill rings_fill() const {
        const auto free = static_cast<std::uint32_t>(rings.size());
        return {rings_total > free ? rings_total - free : 0, rings_total};
    }
    // None is left only in memory that an edge before us has left scattered.
    std::uint32_t take_exchange();
};

}  // namespace thole::edge
