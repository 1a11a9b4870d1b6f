// The one clock of the edge: CLOCK_BOOTTIME in nanoseconds, read once a turn.
#pragma once

#include <time.h>

#include <cstdint>

namespace thole::edge {

inline std::int64_t now_ns() {
    timespec at{};
    ::clock_gettime(CLOCK_BOOTTIME, &at);
    return static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
}

}  // namespace thole::edge
