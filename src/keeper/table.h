// The slot table in the run folder: claims changed whole by a 16-byte compare-and-swap (decision
// 2), and whether the process that a claim names lives. Used by keeper, watch, and children between
// fork and exec. Allocates nothing.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "wire/slots.h"

namespace thole::keeper {

// Atomic, as one.
bool exchange_claim(wire::SlotClaim& at, const wire::SlotClaim& expected,
                    const wire::SlotClaim& wanted);
wire::SlotClaim read_claim(const wire::SlotClaim& at);

// An errno that says nothing of what was asked for: descriptors or memory are short. A process that
// is hidden from us (hidepid) is another thing: it is none of ours.
bool is_shortage(int error);

// One process as /proc/<pid>/stat has it. All zero where there is none.
struct ProcessFacts {
    bool is_there = false;
    bool is_unknown = false;   // It could not be read, for want of a descriptor or of memory.
    bool has_ended = false;    // A zombie: still named, no longer running.
    bool is_runnable = false;  // It has a processor, or waits for one.
    std::uint32_t pid = 0;
    std::uint32_t parent = 0;
    std::uint32_t group = 0;
    std::uint32_t session = 0;
    std::uint64_t start_time = 0;  // Field 22: clock ticks since boot.
};
ProcessFacts facts_of(std::uint32_t pid);

// 0 where there is no such process or it is a zombie.
std::uint64_t start_time_of(std::uint32_t pid);
// The parent's pid, 0 where there is no such process.
std::uint32_t parent_of(std::uint32_t pid);
bool is_runnable(std::uint32_t pid);
// Where nobody can look, whoever has the number counts as it: nothing is started beside the living.
bool is_alive(const wire::SlotClaim& claim);

// Claims the slot for this process, whatever stood there. For keeper and watch only, whom the lock
// keeps single. False where the process cannot be looked at: the claim would name nobody.
bool claim_for(wire::SlotRecord& record, pid_t process);

// What became of a generation. Status and flags first, `ended_generation` last: a reader sees all
// or nothing. Nothing is written where the slot is another generation's by now.
struct Ending {
    std::int32_t wait_status = 0;
    std::uint32_t flags = 0;
    std::uint32_t oom_kills = 0;
};
void record_end(wire::SlotRecord& record, std::uint32_t generation, const Ending& ending);

// Maps `slots` (made anew where it is absent, damaged or of another boot) and `ticks`; nullptr with
// errno set. Only the holder of the lock may let it be made.
enum class MakeTable { No, Yes };
wire::SlotTable* map_table(const char* run_folder, MakeTable make);
wire::TicksPage* map_ticks(const char* run_folder, MakeTable make);

// CLOCK_BOOTTIME in nanoseconds.
std::int64_t now_nanoseconds();
// Writes the role's tick.
void tick(wire::TicksPage& page, wire::Role role);

}  // namespace thole::keeper
