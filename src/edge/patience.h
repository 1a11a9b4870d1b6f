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

// One look, at the body read up to `in`, so long after the last one. False where it is too slow.
bool keeps_pace(BodyTime& time, const BodyPace& pace, std::uint64_t in, std::int64_t since_ns,
                Waiting waiting);

// A client that takes nothing: since when, and what the kernel then held for it.
struct Stall {
    std::int64_t since_ns = 0;  // 0: it takes.
    std::uint32_t out = 0;      // The low bits.
    std::uint32_t unsent = 0;
};

// One look at a client for whom bytes wait, written up to `out`, while the kernel takes no more.
// `unsent` asks how many bytes the kernel holds: who takes slowly takes those first. True where it
// has taken none for longer than the limit.
template <typename Unsent>
bool is_stalled(Stall& stall, std::uint64_t out, std::int64_t now_ns, std::int64_t limit_ns,
                Unsent unsent) {
    const auto low = static_cast<std::uint32_t>(out);
    const bool is_new = stall.since_ns == 0 || stall.out != low;
    if (!is_new && now_ns - stall.since_ns <= limit_ns) return false;
    const std::uint32_t held = unsent();
    if (!is_new && held >= stall.unsent) return true;
    stall = {now_ns, low, held};
    return false;
}

}  // namespace thole::edge
