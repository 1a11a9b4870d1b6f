// What is known of each descriptor and outlives the edge: plain data, one writer a record. A record
// is indexed by its descriptor and counts where the cookie is the socket's (decision 1).
//
// Order of writes: compiler fences suffice, a SIGKILL being a crash of the same thread. Opening
// stores `kind` last, closing stores it first. An exchange lies in a block of its own, which a
// client has only as long as something is under way, and changes by `commit`: the other copy is
// written, then one store makes it count. The same store lets go of the block at its end, and takes
// one at its begin.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "edge/exchange.h"
#include "os/fault_point.h"

namespace thole::edge {

enum class Kind : std::uint32_t { Free, Client, Busy, Idle };

// Who is behind a connection that came by a call's port.
enum class Caller : std::uint32_t { NotAsked, Proved, Unverified, Wrong };

// Everything was passed on, the connection is only to be closed.
constexpr std::uint32_t kShutWhole = 1;
// A tunnel: we send no more on it, and may still read.
constexpr std::uint32_t kShutHalf = 2;

struct alignas(kLineBytes) Record {
    std::uint64_t cookie;
    // How often the exchange has changed, and in which block it is: one word, so that one store
    // changes both. The lowest bit of the count says which half counts.
    std::uint64_t state;
    // The positions at which nothing is under way: of an idle upstream; of a client that has no
    // exchange, where the next one begins.
    std::uint64_t idle_in;
    std::uint64_t idle_out;
    Kind kind;
    std::uint32_t ring;  // Block with what was read and not passed on, or kNone.
    std::uint32_t slot;  // Upstreams: their endpoint.
    std::uint32_t generation;
    std::uint32_t listener;        // Clients: by which they came,
    std::uint32_t listener_place;  // and where that stands in the table.
    std::uint32_t shut;            // kShutWhole, kShutHalf, or 0.
    Caller caller;
};
static_assert(std::is_trivially_copyable_v<Record>);
static_assert(sizeof(Record) == 64, "all that an idle connection costs here");

// Whose bytes lie in a block, so that no damage shows them to another. Written before the block is
// named anywhere.
struct BlockOwner {
    std::uint64_t cookie;
    std::uint64_t from;  // Ring: position of the first of them in its stream; head: its bytes.
};

constexpr std::uint32_t kBlockBits = 16;
constexpr std::uint64_t kBlockMask = (1U << kBlockBits) - 1;
constexpr std::uint32_t kNoBlock = kBlockMask;

inline std::uint32_t block_of(const Record& record) {
    return static_cast<std::uint32_t>(record.state & kBlockMask);
}
inline bool has_exchange(const Record& record) { return block_of(record) != kNoBlock; }
inline std::uint64_t commits_of(const Record& record) { return record.state >> kBlockBits; }
constexpr std::uint64_t state_of(std::uint64_t commits, std::uint32_t block) {
    return commits << kBlockBits | block;
}

inline void store_state(Record& record, std::uint64_t state) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    record.state = state;
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

// An exchange under way, with the record that says which half counts.
struct ExchangeAt {
    Record& record;
    ExchangePair& pair;
};

inline const Exchange& current(const ExchangeAt& at) {
    return at.pair.halves[commits_of(at.record) & 1];
}

// By libc, which copies by registers: what the compiler makes of an assignment of this size is a
// string instruction, which takes longer to begin than to copy.
inline void copy(Exchange& to, const Exchange& from) { std::memmove(&to, &from, sizeof(to)); }

// Changes the exchange as a whole. A death at any instruction leaves the old or the new one.
template <typename Change>
void commit(const ExchangeAt& at, Change change) {
    const std::uint64_t commits = commits_of(at.record);
    Exchange& next = at.pair.halves[(commits + 1) & 1];
    copy(next, at.pair.halves[commits & 1]);
    change(next);
    FAULT_POINT("commit, not stored");
    store_state(at.record, state_of(commits + 1, block_of(at.record)));
    FAULT_POINT("commit, stored");
}

// Begins one in a block that is nobody's, with the next byte that the client says.
inline void begin_exchange(Record& record, ExchangePair& pair, std::uint32_t block,
                           std::int64_t now_ns) {
    Exchange& first = pair.halves[commits_of(record) & 1];
    static constexpr Exchange kNothing{};
    copy(first, kNothing);
    first.client = record.cookie;
    first.listener = record.listener;
    first.listener_place = record.listener_place;
    first.in_start = record.idle_in;
    first.begun_ns = now_ns;
    first.upstream = first.slot = first.slot_before = kNone;
    first.request.head = first.response.head = kNone;
    FAULT_POINT("begin, not stored");
    store_state(record, state_of(commits_of(record), block));
    FAULT_POINT("begin, stored");
}

// The exchange is over, and the next one begins where its request ended. A commit, too.
inline void end_exchange(const ExchangeAt& at) {
    at.record.idle_in = current(at).request.in_end;
    FAULT_POINT("end, not stored");
    store_state(at.record, state_of(commits_of(at.record) + 1, kNoBlock));
    FAULT_POINT("end, stored");
}

}  // namespace thole::edge
