// Faults of the edge itself: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT. The handler writes down
// which worker it was, so that its successor does not try that one request again, and lets the
// process die.
#pragma once

#include <cstdint>
#include <span>

#include "edge/cache_line.h"

namespace thole::edge {

struct Segment;

constexpr std::uint32_t kFaultsKept = 3;
constexpr std::int64_t kFaultsWithinNs = 5'000'000'000;

// In the segment, of each worker.
struct alignas(kLineBytes) Hand {
    std::uint32_t fd;  // The client whose request it is just at, or kNone.
};

// In the segment.
struct Faults {
    std::uint32_t worker;  // Whose fault the edge died of, from 1; 0: nobody's.
    std::uint32_t count;
    std::int64_t times_ns[kFaultsKept];
    std::uint32_t given_up;  // How often that were too many so soon.
};

// So many so soon that another edge on the same memory would only fault again: keeper decides.
bool has_faulted_too_often(const Faults& faults);

// For the process, before its threads.
void catch_faults(Segment& segment);
// For the calling thread: a stack for the handler, kept as long as it runs, and who it is. Workers
// count from 0. `forgotten`: what of its own stack copies of the process do not keep; that which
// writes the core dump does.
void catch_faults_of(std::uint32_t worker, std::span<char> stack, std::span<char> forgotten);

}  // namespace thole::edge
