// How long a client may take over a request's body, and over the answer. What its instance or we
// ourselves are slow at is not charged to it. Pure.
#pragma once

#include <cstdint>

namespace thole::edge {

// The time a client has left for its request's body: it begins with the grace, each byte adds to
// it, waiting for the client uses it up. So a byte now and then is not enough, and a body that came
// fast may pause.
struct BodyTime {
    std::uint32_t seen = 0;     // How far it had come at the last look: the low bits.
    std::int32_t left_ms = -1;  // -1: there was none yet.
};

struct BodyPace {
    std::int64_t grace_ns = 0;
    std::int64_t saved_max_ns = 0;       // More than this is not kept for later.
    std::uint32_t bytes_per_second = 0;  // 0: any is enough.
};

enum class Waiting : std::uint8_t { ForClient, ForOthers };

struct BodyLook {
    std::uint64_t in = 0;       // How far the body was read.
    std::int64_t since_ns = 0;  // The last look.
    Waiting waiting = Waiting::ForClient;
};

// False where it is too slow.
bool keeps_pace(BodyTime& time, const BodyPace& pace, const BodyLook& look);

// A client that takes nothing: since when, and what the kernel then held for it.
struct Stall {
    std::int64_t since_ns = 0;  // 0: it takes.
    std::uint32_t out = 0;      // The low bits.
    std::uint32_t unsent = 0;
};

struct StallLook {
    std::uint64_t out = 0;  // How far the answer was written.
    std::int64_t now_ns = 0;
    std::int64_t limit_ns = 0;
};

// One look at a client for whom bytes wait, while the kernel takes no more. `unsent` asks how many
// bytes the kernel holds: who takes slowly takes those first. True where it has taken none for
// longer than the limit.
template <typename Unsent>
bool is_stalled(Stall& stall, const StallLook& look, Unsent unsent) {
    const auto out = static_cast<std::uint32_t>(look.out);
    const bool is_new = stall.since_ns == 0 || stall.out != out;
    if (!is_new && look.now_ns - stall.since_ns <= look.limit_ns) return false;
    const std::uint32_t held = unsent();
    if (!is_new && held >= stall.unsent) return true;
    stall = {look.now_ns, out, held};
    return false;
}

// What was asked of a client that has ended its side (departures.cpp).
struct Departure {
    std::int64_t since_ns = 0, next_ns = 0;
    std::uint32_t asked = 0;  // How often.
    bool has_prodded = false;
};

}  // namespace thole::edge
