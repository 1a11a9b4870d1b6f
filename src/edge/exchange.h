// What is known of one request under way and outlives the edge: plain data. It lies in a block of
// its own, twice, and changes as a whole (records.h).
#pragma once

#include <cstdint>
#include <type_traits>

#include "edge/cache_line.h"
#include "edge/router.h"
#include "http/body.h"
#include "wire/edge.h"
#include "wire/request.h"

namespace thole::edge {

constexpr std::uint64_t kUnknown = ~std::uint64_t{0};

enum class Phase : std::uint32_t {
    Reading,    // A part of a head.
    Ready,      // The head is rewritten; no upstream.
    Attached,   // Bytes may have gone to the upstream.
    Answering,  // The response's head is rewritten; bytes may have gone to the client.
    Tunnel,
};

// Frames: those of a WebSocket, until one of them closes it; in_parsed is where the next one begins
// whose header is not there yet.
enum class Framing : std::uint16_t { None, Length, Chunked, UntilClose, Frames };

// What stands in the output after in_end, where we have ended a message before its sender did.
enum class Tail : std::uint16_t {
    None,  // We have not.
    Nothing,
    LastChunk,
    CloseToClient,
    CloseToInstance,
};

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
    Tail tail;
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
    std::uint64_t client;          // Cookie of the socket whose request it is.
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
    // For the black box, in microseconds: from its first byte to its whole head; of the last try
    // until there was a connection, and until the answer's head was whole.
    std::uint32_t head_us;
    std::uint32_t connect_us;
    std::uint32_t answer_us;
    std::uint16_t considered;  // Endpoints that might have had the last try.
    std::uint16_t point;  // Where it stands among its service's shares, or kNoPoint (shares.h).
    std::uint32_t tries;  // That ended without an answer.
    wire::RequestTry ended_tries[wire::kTriesKept];
    std::uint32_t fault;       // Id of the lease that hurts it (leases.h), or 0.
    ServiceAt service;         // Who is to answer, from Ready on.
    std::int64_t due_ns;       // Ready: not attached before.
    std::int64_t deadline_ns;  // Without an answer until then it is over; 0: no such time.
    // Where these values stand in the request's rewritten head, so that each attempt writes its
    // own; 0: nowhere.
    std::uint16_t timeout_at;
    std::uint16_t grpc_timeout_at;
    std::uint16_t attempt_at;
    std::uint16_t sent_to;  // Ready: the slot, and 1, to which its fault sends it; 0: any.
    Flow request;
    Flow response;
};
static_assert(sizeof(Exchange) <= 384, "each commit copies it");

enum ExchangeFlags : std::uint32_t {
    kIdempotent = 1,   // May be sent again where nothing was passed on (RFC 9110 section 9.2.2).
    kKeepAlive = 2,    // The client's connection goes on after this.
    kHeadRequest = 4,  // Its response has no body, whatever it says.
    kOwnAnswer = 8,    // The response is our own text; there is no upstream.
    kHttp10 = 16,
    kUpgradeAsked = 32,
    kInterim = 64,  // The response under way is 1xx; another follows.
    kUpstreamCloses = 128,
    kHeld = 256,            // Waited for an endpoint.
    kCounted = 512,         // Its outcome is in the counters.
    kEventStream = 1024,    // Silence is allowed for as long as in a tunnel.
    kFresh = 2048,          // A connection from the pool was dead: not another one of these.
    kRetried = 4096,        // Sent again for what was answered, or for silence: counts as a retry.
    kCallerRetries = 8192,  // Its caller was told that we, further out, try again.
    // Its fault is still to be carried out. Ready; attached_ns is when a wait for it is over.
    kFaultDue = 16384,
    kLowPriority = 32768,
};

// A tunnel or a stream of events, once it has begun: many of them are no load.
inline bool lasts(const Exchange& exchange) {
    const bool has_events = exchange.phase == Phase::Answering &&
                            (exchange.flags & (kEventStream | kInterim)) == kEventStream;
    return exchange.phase == Phase::Tunnel || has_events;
}

struct alignas(kLineBytes) ExchangePair {
    Exchange halves[2];
};
static_assert(std::is_trivially_copyable_v<ExchangePair>);

}  // namespace thole::edge
