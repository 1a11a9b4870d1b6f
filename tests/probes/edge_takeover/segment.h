// The memory that outlives the probe's edge: endpoint table, commands, connection records, buffers.
// Plain data, one writer at a time (a connection's worker; main for the tables), every change
// visible by one last store.
#pragma once

#include <atomic>
#include <cstdint>

namespace probe {

constexpr std::uint32_t kDescriptorsMax = 2048;
constexpr std::uint32_t kEndpoints = 3;
constexpr std::uint32_t kWorkers = 2;
constexpr std::uint32_t kRings = 1024;
constexpr std::uint32_t kRingBytes = 16 * 1024;
constexpr std::uint32_t kHeads = 1024;
constexpr std::uint32_t kHeadBytes = 2 * 1024;
constexpr std::uint32_t kNone = ~std::uint32_t{0};
constexpr std::uint64_t kUnknown = ~std::uint64_t{0};
constexpr std::uint32_t kListed = 512;

enum Phase : std::uint32_t {
    kReading,    // No request, or a part of a head.
    kReady,      // Head rewritten; no upstream.
    kAttached,   // Bytes may have gone to the upstream.
    kAnswering,  // The response's head is rewritten; bytes may have gone to the client.
    kTunnel,
};

enum Framing : std::uint32_t { kNoBody, kLength, kChunked, kUntilClose };

// Where the parser stands in a chunked body.
struct Chunks {
    std::uint64_t left;   // Of the chunk's data.
    std::uint32_t state;  // See step_chunks.
    std::uint32_t line;   // Bytes of the current line, for trailers.
};

// One direction: input of one socket that becomes output of another. Positions are absolute in the
// stream of the socket they belong to: what was read and written is asked of the kernel, never
// recorded.
struct Flow {
    std::uint64_t in_body;    // Input position after the head.
    std::uint64_t in_end;     // Input position after the message, or kUnknown.
    std::uint64_t in_parsed;  // Chunked: parsed up to here.
    Chunks chunks;
    std::uint64_t out_start;  // Output position of the rewritten head's first byte.
    std::uint32_t head;       // Block with the rewritten head, or kNone.
    std::uint32_t head_bytes;
    std::uint32_t framing;
    std::uint32_t reserved;
};

// All of one exchange. Two copies in the client's record; `commit` says which counts.
struct Exchange {
    std::uint32_t phase;
    std::uint32_t attempts;
    std::uint32_t upstream;  // Descriptor, or kNone.
    std::uint32_t endpoint;
    std::uint64_t upstream_cookie;
    std::uint64_t upstream_in_start;  // The upstream's input position at attach.
    std::uint64_t in_start;           // The client's input position of this request's first byte.
    std::uint64_t id;
    std::uint32_t is_idempotent;
    std::uint32_t keep_alive;
    std::uint32_t wants_tunnel;
    std::uint32_t is_own;  // The response is our own text.
    Flow request;
    Flow response;
};
static_assert(sizeof(Flow) == 64);
static_assert(sizeof(Exchange) <= 256);

enum Kind : std::uint32_t { kFree, kClient, kBusy, kIdle };

// Indexed by descriptor. A record counts only where the cookie is the socket's.
struct Record {
    std::uint64_t cookie;
    std::uint32_t kind;  // Stored last on opening, first on closing.
    std::uint32_t ring;
    std::uint64_t commit;
    std::uint64_t idle_in;  // kIdle: positions at which nothing is under way.
    std::uint64_t idle_out;
    std::uint32_t endpoint;
    std::uint32_t generation;
    std::uint32_t shut;  // 1: we are about to end, or ended, our writing.
    std::uint32_t reserved;
    Exchange exchange[2];
};

struct Endpoint {
    std::uint32_t port;
    std::uint32_t generation;
    std::uint32_t out;  // 1: attach nothing further.
};

struct Segment {
    std::atomic<std::uint32_t> epoch;
    std::atomic<std::uint32_t> edge_pid;
    std::atomic<std::uint32_t> holder_pid;
    std::atomic<std::uint32_t> serving_epoch;
    std::atomic<std::uint32_t> crash_point;  // The edge kills itself when it comes there.
    std::atomic<std::uint32_t> stop;
    std::atomic<std::uint64_t> next_id;
    Endpoint endpoints[kEndpoints];
    // The driver: command, then wanted. The edge's main: listed, then acknowledged.
    std::atomic<std::uint64_t> wanted;
    std::uint32_t command_endpoint;
    std::uint32_t command_out;
    std::atomic<std::uint64_t> acknowledged;
    std::atomic<std::uint32_t> listed;
    std::uint64_t list[kListed];
    // What adoption did, for the page.
    std::atomic<std::uint64_t> adopted, fresh, closed, own_502, replays;
    Record records[kDescriptorsMax];
    char rings[kRings][kRingBytes];
    char heads[kHeads][kHeadBytes];
};

// Never returns: runs the edge on this listener; its holder goes on after its death.
[[noreturn]] void run_edge(Segment& segment, int listener);
// How many crash points there are; 1 is the first.
std::uint32_t crash_points();

}  // namespace probe
