// keeper: one loop over signals, requests, pidfds and its link to watch. See README.md of this
// folder for its invariants.
#pragma once

#include <cstdint>

#include "keeper/options.h"

namespace thole::keeper {

// Exit codes that watch understands: all others mean "start the next one".
constexpr int kKeeperEnds = 0;          // Shut down: nothing is left.
constexpr int kKeeperIsNotNeeded = 75;  // Another keeper holds the lock.
constexpr int kKeeperCannotStart = 78;  // What it needs is not there; the reason is in the log.

// Runs until Shutdown. Descriptor 3 is the link to watch.
int run_keeper(const Options& options);

// On stderr: that nobody reaches the living any more, and what helps.
void tell_of_deleted_folder(const Options& options);

// Allocations since the loop began; counted by the program that links us (keeper_main.cpp).
extern std::uint64_t (*count_allocations)();

}  // namespace thole::keeper
