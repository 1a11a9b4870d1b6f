// What is known of each descriptor and outlives the edge: plain data, one writer a record. A record
// is indexed by its descriptor and counts where the cookie is the socket's (decision 1).
//
// Order of writes: compiler fences suffice, a SIGKILL being a crash of the same thread. Opening
// stores `kind` last, closing stores it first. An exchange changes by `commit`: the other copy is
// written, then one store makes it count.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "http/body.h"
#include "wire/edge.h"

namespace thole::edge {

constexpr std::uint32_t kNone = ~std::uint32_t{0};
constexpr std::uint64_t kUnknown = ~std::uint64_t{0};

enum class Phase : std::uint32_t {
    Reading,    // No request, or a part of a head.
    Ready,      // The head is rewritten; no upstream.
    Attached,   // Bytes may have gone to the upstream.
    Answering,  // The response's head is rewritten; bytes may have gone to the client.
    Tunnel,
};

enum class Framing : std::uint32_t { None, Length, Chunked, UntilClose };

// One direction. Positions are absolute in the stream of the socket they belong to.
struct Flow {
    std::uint64_t in_body;  // Input position after the head, and after what was left out so far.
    std::uint64_t
        in_end;  // Input position after the message; kUnknown where only its end will tell.
    std::uint64_t in_parsed;  // Chunked: framing is known up to here.
    std::uint64_t out_start;  // Output position of the rewritten head's first byte.
    std::uint32_t head;       // Block that holds the rewritten head, or kNone.
    std::uint32_t head_bytes;
    Framing framing;
    std::uint32_t left_out;  // Chunked: so many bytes before in_parsed are not passed on.
    http::BodyDecoder body;  // Chunked: where the parser stands at in_parsed, what it leaves out.
};
static_assert(sizeof(Flow) == 72);

struct Exchange {
    Phase phase;
    std::uint32_t attempts;
    std::uint32_t upstream;  // Descriptor, or kNone.
    std::uint32_t slot;      // Of the endpoint it is or was attached to, or kNone.
    std::uint32_t generation;
    std::uint32_t release;
    std::uint32_t listener;        // By which it came,
    std::uint32_t listener_place;  // and where that stands in the table.
    std::uint64_t upstream_cookie;
    std::uint64_t upstream_in_start;  // The upstream's input position at attach.
    std::uint64_t in_start;           // The client's input position of this request's first byte.
    wire::RequestId id;
    std::int64_t begun_ns;  // CLOCK_BOOTTIME.
    // The last attempt's begin. Ready: since when it waits, earlier by what it had waited before.
    std::int64_t attached_ns;
    std::uint32_t flags;        // ExchangeFlags
    std::uint32_t held_us;      // How long it waited in all before it was attached.
    std::uint32_t status;       // Of the instance's answer.
    std::uint32_t slot_before;  // That of the attempt before, where there was one; or kNone.
    Flow request;
    Flow response;
};
static_assert(sizeof(Exchange) <= 256, "one half of a connection's record");

enum ExchangeFlags : std::uint32_t {
    kIdempotent = 1,   // May be sent again where nothing was passed on (RFC 9110 section 9.2.2).
    kKeepAlive = 2,    // The client's connection goes on after this.
    kHeadRequest = 4,  // Its response has no body, whatever it says.
    kOwnAnswer = 8,    // The response is our own text; there is no upstream.
    kHttp10 = 16,
    kUpgradeAsked = 32,
    kInterim = 64,  // The response under way is 1xx; another follows.
    kUpstreamCloses = 128,
    kHeld = 256,          // Waited for an endpoint.
    kCounted = 512,       // Its outcome is in the counters.
    kEventStream = 1024,  // Silence is allowed for as long as in a tunnel.
    kFresh = 2048,        // A connection from the pool was dead: not another one of these.
};

enum class Kind : std::uint32_t { Free, Client, Busy, Idle };

// Who is behind a connection that came by a call's port.
enum class Caller : std::uint32_t { NotAsked, Proved, Unverified, Wrong };

// Everything was passed on, the connection is only to be closed.
constexpr std::uint32_t kShutWhole = 1;
// A tunnel: we send no more on it, and may still read.
constexpr std::uint32_t kShutHalf = 2;

struct Record {
    std::uint64_t cookie;
    Kind kind;
    std::uint32_t ring;     // Block with what was read and not passed on, or kNone.
    std::uint64_t commit;   // Its lowest bit says which half counts.
    std::uint64_t idle_in;  // Idle: the positions at which nothing is under way.
    std::uint64_t idle_out;
    std::uint32_t slot;  // Upstreams: their endpoint.
    std::uint32_t generation;
    std::uint32_t shut;  // kShutWhole, kShutHalf, or 0.
    Caller caller;
    Exchange halves[2];
};
static_assert(std::is_trivially_copyable_v<Record>);

inline const Exchange& current(const Record& record) { return record.halves[record.commit & 1]; }

// Changes the exchange as a whole. A death at any instruction leaves the old or the new one.
template <typename Change>
void commit(Record& record, Change change) {
    Exchange& next = record.halves[(record.commit + 1) & 1];
    next = current(record);
    change(next);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    record.commit = record.commit + 1;
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace thole::edge
