#include "edge/black_box.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>

namespace thole::edge {
namespace {

std::uint32_t microseconds(std::int64_t ns) {
    constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(ns / 1000, 0, kMost));
}

template <std::size_t kSize>
void copy_text(char (&to)[kSize], std::string_view text) {
    std::memcpy(to, text.data(), std::min(text.size(), kSize - 1));
}

// Method and target: up to the version.
std::string_view line_of(std::string_view head) {
    constexpr std::size_t kVersionBytes = sizeof(" HTTP/1.1") - 1;
    const std::string_view begin =
        head.substr(0, sizeof(wire::RequestRecord::target) + kVersionBytes);
    const std::size_t end = begin.find('\r');
    if (end == std::string_view::npos || end < kVersionBytes) return begin;
    return begin.substr(0, end - kVersionBytes);
}

wire::RequestPhase phase_of(Phase phase) {
    switch (phase) {
        case Phase::Reading: return wire::RequestPhase::Head;
        case Phase::Ready: return wire::RequestPhase::Waiting;
        case Phase::Attached: return wire::RequestPhase::Asked;
        case Phase::Answering: return wire::RequestPhase::Answering;
        case Phase::Tunnel: return wire::RequestPhase::Tunnel;
    }
    return wire::RequestPhase::Head;
}

std::uint32_t flags_of(const Exchange& exchange, Caller caller, const End& how) {
    std::uint32_t flags = 0;
    if ((exchange.flags & kIdempotent) != 0) flags |= wire::kRequestIdempotent;
    if ((exchange.flags & kHeld) != 0) flags |= wire::kRequestHeld;
    if ((exchange.flags & kOwnAnswer) != 0 || how.status != 0) flags |= wire::kRequestOwnAnswer;
    if ((exchange.flags & kEventStream) != 0) flags |= wire::kRequestEventStream;
    if (caller == Caller::Proved) flags |= wire::kRequestCallerProved;
    if (caller == Caller::Unverified) flags |= wire::kRequestCallerUnverified;
    if (how.outcome == wire::Outcome::Count_) flags |= wire::kRequestUnderWay;
    return flags;
}

// Where it stands in the middle of a wait, that one counts, too.
void set_times(wire::RequestRecord& made, const Exchange& exchange, std::int64_t now_ns) {
    made.begun = exchange.begun_ns;
    made.ended = now_ns;
    made.head_us = exchange.head_us;
    made.connect_us = exchange.connect_us;
    made.answer_us = exchange.answer_us;
    if (exchange.phase == Phase::Reading) return;
    if (exchange.phase == Phase::Ready) {
        made.held_us = microseconds(now_ns - exchange.attached_ns);
    } else {
        made.held_us = exchange.held_us;
        made.attached_us = microseconds(exchange.attached_ns - exchange.begun_ns);
    }
}

}  // namespace

void BlackBox::put(const wire::RequestRecord& record) {
    const bool has_more = (record.flags & wire::kRequestHasMore) != 0;
    const std::size_t count = has_more ? kWords : kShortWords;
    const auto* const words = reinterpret_cast<const std::uint64_t*>(&record);
    Place& place = places[written.load(std::memory_order_relaxed) % kBoxKept];
    // Each after `written`: who has read one of these reads a number by which it is too old.
    for (std::size_t i = 0; i < count; i += 4) {
        place.words[i].store(words[i], std::memory_order_release);
        place.words[i + 1].store(words[i + 1], std::memory_order_release);
        place.words[i + 2].store(words[i + 2], std::memory_order_release);
        place.words[i + 3].store(words[i + 3], std::memory_order_release);
    }
}

// The one after the last is being written in the oldest one's place.
std::uint64_t BlackBox::first() const {
    const std::uint64_t end = written.load(std::memory_order_acquire);
    return end < kBoxKept ? 0 : end - kBoxKept + 1;
}

bool BlackBox::read_words(std::uint64_t number, std::uint64_t* into, std::size_t count) const {
    if (number >= written.load(std::memory_order_acquire)) return false;
    const Place& place = places[number % kBoxKept];
    for (std::size_t i = 0; i < count; ++i)
        into[i] = place.words[i].load(std::memory_order_acquire);
    return number >= first();
}

bool BlackBox::read(std::uint64_t number, wire::RequestRecord& record) const {
    std::uint64_t words[kWords];
    if (!read_words(number, words, kWords)) return false;
    std::memcpy(&record, words, sizeof(record));
    if ((record.flags & wire::kRequestHasMore) == 0) {
        // What stands behind a short one is another's.
        std::fill(std::begin(record.ended_tries), std::end(record.ended_tries), wire::RequestTry{});
        std::fill(std::begin(record.why), std::end(record.why), '\0');
    }
    record.flags &= ~std::uint32_t{wire::kRequestHasMore};
    return true;
}

bool BlackBox::read_begin(std::uint64_t number, wire::RequestRecord& record) const {
    constexpr std::size_t kBytes = offsetof(wire::RequestRecord, target);
    static_assert(kBytes % sizeof(std::uint64_t) == 0);
    std::uint64_t words[kBytes / sizeof(std::uint64_t)];
    if (!read_words(number, words, std::size(words))) return false;
    std::memcpy(&record, words, kBytes);
    return true;
}

wire::RequestRecord record_of(const Exchange& exchange, Caller caller, const End& how) {
    wire::RequestRecord made{};
    made.id = exchange.id;
    set_times(made, exchange, how.now_ns);
    made.bytes_in = how.bytes_in;
    made.bytes_out = how.bytes_out;
    made.listener = exchange.listener;
    made.service = how.service;
    made.release = exchange.release;
    // Answered before it was read whole: what stands there is the one's before it.
    const bool is_read = exchange.phase != Phase::Reading;
    made.at = is_read ? wire::SlotRef{exchange.slot, exchange.generation}
                      : wire::SlotRef{wire::kNoSlot, 0};
    made.address = ntohl(how.address);
    made.status = static_cast<std::uint16_t>(how.status != 0 ? how.status : exchange.status);
    made.outcome = static_cast<std::uint8_t>(how.outcome);
    made.phase = phase_of(exchange.phase);
    made.considered = exchange.considered;
    made.attempts = static_cast<std::uint8_t>(std::min(exchange.attempts, 255U));
    made.tries = static_cast<std::uint8_t>(std::min(exchange.tries, 255U));
    made.flags = flags_of(exchange, caller, how);
    copy_text(made.target, line_of(how.head));
    if (exchange.tries == 0 && how.why.empty()) return made;
    made.flags |= wire::kRequestHasMore;
    std::copy(std::begin(exchange.ended_tries), std::end(exchange.ended_tries), made.ended_tries);
    copy_text(made.why, how.why);
    return made;
}

void note_try(Exchange& exchange, wire::TryEnd end, std::int64_t now_ns) {
    wire::RequestTry& place = exchange.ended_tries[std::min(exchange.tries, wire::kTriesKept - 1)];
    place = {exchange.generation, microseconds(now_ns - exchange.attached_ns),
             static_cast<std::uint16_t>(exchange.slot), end, 0};
    ++exchange.tries;
}

}  // namespace thole::edge
