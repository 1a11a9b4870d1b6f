// What the edge refused or let go because there was not room or time for it, by reason; in memory
// that outlives it. One writer a worker, any reader sums; one may be lost where the edge is killed.
#pragma once

#include <atomic>
#include <cstdint>

#include "wire/edge.h"

namespace thole::edge {

using wire::kRefusals;
using wire::Refusal;

struct Refusals {
    std::atomic<std::uint64_t> of[kRefusals];

    void count(Refusal why) {
        std::atomic<std::uint64_t>& one = of[static_cast<std::uint32_t>(why)];
        one.store(one.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
};

}  // namespace thole::edge
