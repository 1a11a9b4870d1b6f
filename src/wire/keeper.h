// What keeper and its clients (control, the CLI's start and rescue, tests) say to each other over
// `keeper.sock` in the run folder. Fixed structs only: keeper allocates nothing. No descriptors
// travel between control and keeper, so that a simulated keeper can speak it: images are named by
// (slot, generation), listeners by id.
//
// Descriptors go only between keeper and the edge, by SCM_RIGHTS, one a message (Take*, Park*,
// Handed). A role inherits its own listening unix socket as descriptor 3 (control: api.sock, edge:
// edge.sock); keeper keeps it open, so that clients wait in the backlog while the role restarts.
//
// A client says Hello. keeper answers with one State per slot that is not free, one ListenerReady
// per parked listener, one RoleChanged per role, then Synced; from then on each change of a slot,
// listener or role is told as its newest whole state. A slow client misses what lay between, never
// the end. Every request is idempotent. keeper forgets an ended slot only when told to (Forget).
#pragma once

#include <cstdint>

namespace thole::wire {

enum class KeeperMessage : std::uint16_t {
    // client -> keeper
    Hello = 1,
    Spawn = 2,  // The image `images/<slot>.<generation>` is in place.
    Signal = 3,
    Forget = 4,          // An ended slot becomes free; its image is deleted.
    EnsureListener = 5,  // Bind and park, or say again what is parked under this id.
    DropListener = 6,
    Shutdown = 7,      // End all roles and leftovers, delete the run folder, end.
    TakeListener = 8,  // edge: hand me the listener of this id.       -> Handed with the
                       // descriptor, or without
    TakeSegment = 9,  // edge: hand me the parked segment, if any.    -> Handed with the descriptor,
                      // or without
    ParkSegment = 10,  // edge: keep this descriptor for my successor. -> Handed without
    ServeAsEdge = 11,  // edge: I carry the traffic from now on, and this is my holder.
    ParkListener =
        12,  // edge: the listener of this id, for a keeper that lost it. -> Handed without
    UpgradeEdge = 13,    // Start this program as an edge beside the one that serves (decision 8).
                         // The two tell control what became of it; Refused where none was started.
    StandByAsEdge = 14,  // edge: I am about to take over, and this is my holder. -> Handed without
    // keeper -> client
    State = 32,
    Synced = 33,
    ListenerReady = 37,
    ListenerFailed = 38,
    RoleChanged = 39,
    Refused = 40,  // A request that makes no sense, with the reason.
    ShuttingDown = 42,
    Handed = 43,
    HandOver = 44,  // To the edge: at the other end of this descriptor is who takes your place.
};

struct SlotRef {
    std::uint32_t slot;
    std::uint32_t generation;
};

enum class ClientKind : std::uint32_t { Control = 1, Cli = 2, Test = 3, Edge = 4 };

struct HelloToKeeper {
    ClientKind kind;
    std::uint32_t pid;
    char build[32];  // Version stamp, NUL-padded.
};
static_assert(sizeof(HelloToKeeper) == 40);

struct SpawnRequest {
    SlotRef at;
};

enum class SignalScope : std::uint32_t {
    Process = 1,  // The first process only.
    All = 2,      // All that belongs to the instance: its cgroup, or its process group and session
                  // without one.
};
struct SignalRequest {
    SlotRef at;
    std::int32_t signal;  // 0: nobody is signalled. Says, as any does, what remains of it.
    SignalScope scope;
};

// Whatever remains is killed, and the slot is free once it is gone.
struct ForgetRequest {
    SlotRef at;
};

struct EnsureListenerRequest {
    std::uint32_t id;       // Chosen by control, kept in its state.
    std::uint32_t address;  // IPv4, host byte order; 0 is every address.
    std::uint16_t port;     // 0: keeper chooses and says which.
    std::uint16_t reserved;
};
static_assert(sizeof(EnsureListenerRequest) == 12);

struct DropListenerRequest {
    std::uint32_t id;
};
struct TakeListenerRequest {
    std::uint32_t id;
};

// The sender's own pid comes from the kernel.
struct ServeAsEdgeRequest {
    std::uint32_t holder_pid;
};

// The next one that keeper hears of is the edge's; until then it is an heir beside the holder.
struct StandByAsEdgeRequest {
    std::uint32_t holder_pid;
};

struct UpgradeEdgeRequest {
    char program[1024];  // An absolute path; empty: the installed one.
};

// After the deaths of both keeper and watch, of each listener that keeper does not say is parked.
// Until then EnsureListener of its port fails with EADDRINUSE. One that is parked already stays.
struct ParkListenerRequest {
    std::uint32_t id;
};

struct HandedEvent {
    std::uint16_t request;  // What was asked for; of HandOver 0.
    std::uint16_t has_descriptor;
    std::uint32_t id;  // Of the listener.
};
static_assert(sizeof(HandedEvent) == 8);

enum class SlotStatus : std::uint32_t {
    Free = 0,      // Forgotten, or never used.
    Starting = 1,  // Forked; has not claimed its slot.
    Running = 2,
    Ended = 3,
};

// Whether anything of an ended instance still runs. keeper looks from the moment on at which all of
// it was signalled.
enum class Remains : std::uint32_t { Unknown = 0, Some = 1, None = 2 };

struct SlotState {
    SlotRef at;
    SlotStatus status;
    std::uint32_t pid;  // 0 where it never claimed.
    std::uint64_t start_time;
    std::int32_t wait_status;  // Ended only, as waitpid gives it.
    std::uint32_t flags;       // SlotFlags
    std::uint32_t oom_kills;
    Remains remains;    // Ended only.
    std::int64_t time;  // Of the last change, nanoseconds of CLOCK_BOOTTIME.
    std::uint64_t spool_dropped_bytes[2];
};
static_assert(sizeof(SlotState) == 64);

struct SyncedEvent {
    std::uint32_t slots;
    std::uint32_t listeners;
    std::uint64_t keepers;      // How many keepers this run folder has seen.
    std::uint64_t allocations;  // Since keeper's start was complete; 0 or we are wrong.
    std::uint32_t has_cgroups;  // 1: instances have cgroups of their own.
    std::uint32_t pid;          // keeper's own.
    char build[32];
};
static_assert(sizeof(SyncedEvent) == 64);

// Where a spawn failed, in the order in which the child goes; SpawnFailed's wait_status is step <<
// 16 | errno.
enum class SpawnStep : std::uint32_t {
    Refused = 1,  // (slot, generation) was used before, or the slot is occupied.
    Image = 2,    // Missing or damaged.
    Fork = 3,
    Claim = 4,  // Somebody else holds the slot.
    Cgroup = 5,
    Spool = 6,
    Limits = 7,
    User = 8,
    Folder = 9,
    Exec = 10,
};

struct ListenerState {
    std::uint32_t id;
    std::uint32_t address;
    std::uint16_t port;
    std::uint16_t reserved;
    std::int32_t error;  // ListenerFailed: errno.
};
static_assert(sizeof(ListenerState) == 16);

enum class RoleEvent : std::uint32_t { Running = 1, Ended = 2, KilledForSilence = 3, Waiting = 4 };

struct RoleState {
    std::uint32_t role;  // wire::Role
    RoleEvent event;
    std::uint32_t pid;
    std::int32_t wait_status;
    std::uint32_t starts;   // By this keeper and those before it.
    std::uint32_t crashes;  // In a row; what back-off counts.
    std::int64_t time;
};
static_assert(sizeof(RoleState) == 32);

struct RefusedEvent {
    std::uint16_t request;  // KeeperMessage
    std::uint16_t reserved;
    SlotRef at;
    char reason[84];
};
static_assert(sizeof(RefusedEvent) == 96);

}  // namespace thole::wire
