// What the edge refused or let go because there was not room or time for it, by reason; in memory
// that outlives it. One writer a worker, any reader sums; one may be lost where the edge is killed.
#pragma once

#include <atomic>
#include <cstdint>

namespace thole::edge {

enum class Refusal : std::uint32_t {
    SlowHead,      // Not whole after its time.
    SlowBody,      // Under the least rate, or silent: 408.
    SlowReader,    // Did not take its answer.
    BodyTooLarge,  // 413, or cut.
    Descriptors,   // Idle, or its head not whole, and closed to make room for others.
    HalfHead,      // Its head not whole, and closed because buffers were short.
    Overloaded,    // 503, because buffers were short.
    Largest,       // Reset in the middle, because buffers were shorter still.
    Pause,         // Of taking in: how often.
};
constexpr std::uint32_t kRefusals = static_cast<std::uint32_t>(Refusal::Pause) + 1;

struct Refusals {
    std::atomic<std::uint64_t> of[kRefusals];

    void count(Refusal why) {
        std::atomic<std::uint64_t>& one = of[static_cast<std::uint32_t>(why)];
        one.store(one.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
};

}  // namespace thole::edge
