// What outlives keeper in its run folder: the slot table and the ticks page, both mapped shared by
// keeper, its children before they exec, watch, and readers (control reads nothing here: keeper
// tells it).
//
// A slot is one place for one process. Its generation grows with every spawn. The child itself
// claims the slot, by one 16-byte compare-and-swap of `claim` from {generation wanted, 0, 0} to
// {generation, its pid, its start time}, before it execs: so there is no moment at which a process
// runs that the table does not name, and a late child of a dead keeper loses against whoever came
// first, and exits.
#pragma once

#include <signal.h>

#include <cstdint>
#include <type_traits>

namespace thole::wire {

// From keeper to the edge, where all is to end: with a plain kill its holder would take its place.
constexpr int kSignalEndOfLineage = SIGUSR2;

// Of one system; the table of them is mapped whole by every role.
constexpr std::uint32_t kSlotsMax = 4096;
constexpr std::uint32_t kRoleSlots = 16;  // Slots 0..15 are keeper's roles, the others control's.
constexpr std::uint32_t kSlotTableMagic = 0x746f6c73;
constexpr std::uint32_t kSlotTableVersion = 1;

// Roles by slot number.
enum class Role : std::uint32_t {
    Keeper = 0,
    Watch = 1,
    Control = 2,
    Edge = 3,
    Telemetry = 4,
    NextEdge = 5,  // Beside the edge, until it has taken its place and its slot.
};

// The pid of a claim that nobody may take any more: its keeper died before the child came.
constexpr std::uint32_t kNobody = ~std::uint32_t{0};

// Changed only whole, by cmpxchg16b. pid 0: nobody runs here. A pid is as keeper's PID namespace
// sees it; start_time is field 22 of /proc/<pid>/stat (clock ticks since boot): pid and start time
// together name one process.
struct alignas(16) SlotClaim {
    std::uint32_t generation;
    std::uint32_t pid;
    std::uint64_t start_time;
};
static_assert(sizeof(SlotClaim) == 16);

enum SlotFlags : std::uint32_t {
    kExitKnown = 1,    // wait_status is what the kernel said; else nobody could wait for it.
    kForgotten = 4,    // Control knows of the end; the slot may be used again.
    kSpawnFailed = 2,  // The child never reached exec: wait_status holds step << 16 | errno.
    kOomKnown = 8,     // oom_kills is what the kernel said; else it could not be read.
};

// Written by whoever reaped the process (keeper, or watch for a dead keeper): status first, `ended`
// last.
struct SlotRecord {
    SlotClaim claim;
    std::uint32_t ended_generation;  // This generation has ended, and the fields below are its.
    std::int32_t wait_status;
    std::uint32_t flags;                   // SlotFlags
    std::uint32_t oom_kills;               // Of its cgroup, 0 where that is not known.
    std::int64_t ended_time;               // Nanoseconds of CLOCK_BOOTTIME.
    std::uint64_t spool_dropped_bytes[2];  // stdout, stderr: punched out from the front, whole life
                                           // of the spool.
    // The edges' slots: its holder, who becomes the edge when it dies by claiming the slot with the
    // next generation. The low half of its start time tells that the pid is still its own.
    std::uint32_t successor;
    std::uint32_t successor_start;
};
static_assert(sizeof(SlotRecord) == 64);
static_assert(std::is_trivially_copyable_v<SlotRecord>);

struct SlotTableHeader {
    std::uint32_t magic;
    std::uint32_t version;
    std::uint32_t slots;
    std::uint32_t record_bytes;
    std::uint64_t boot;     // Hash of the boot id: a table of another boot names nobody.
    std::uint64_t keepers;  // How many keepers have started on it.
    std::uint64_t reserved[12];
};
static_assert(sizeof(SlotTableHeader) == 128);

struct SlotTable {
    SlotTableHeader header;
    SlotRecord slots[kSlotsMax];
};

// One u64 per role: nanoseconds of CLOCK_BOOTTIME of its last turn, written by the role itself at
// least once a second.
struct TicksPage {
    std::uint64_t last[kRoleSlots];
};

}  // namespace thole::wire
