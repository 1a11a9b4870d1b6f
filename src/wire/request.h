// One request as the edge remembers it once it has ended: a record of a fixed size in memory that
// outlives the edge, and what control asks of those records (edge.h: Why).
#pragma once

#include <cstdint>
#include <string_view>

#include "wire/edge.h"

namespace thole::wire {

// How a try at an endpoint ended, where another one followed it or was to follow.
enum class TryEnd : std::uint8_t {
    Refused = 1,  // Nobody took the connection: that was no attempt.
    NotInTime,    // The connection was not made in time.
    WasClosed,    // A connection from the pool ended: closed already, or its instance died.
    Lost,         // The instance went away before it answered.
    Cut,          // Closed at the drain deadline.
    Answered,     // The instance said 502, 503 or 504.
    Silent,       // It said nothing for much longer than is usual.
    Count_,
};

struct RequestTry {
    std::uint32_t generation;
    std::uint32_t took_us;
    std::uint16_t slot;
    TryEnd end;
    std::uint8_t reserved;
};
static_assert(sizeof(RequestTry) == 12);
// Kept of each request: the first ones, and in the last place the newest.
constexpr std::uint32_t kTriesKept = 3;

// Where it was when it ended, or is.
enum class RequestPhase : std::uint8_t { Head, Waiting, Asked, Answering, Tunnel, Count_ };

enum RequestFlags : std::uint32_t {
    kRequestIdempotent = 1,
    kRequestHeld = 2,           // It waited for an endpoint.
    kRequestOwnAnswer = 4,      // The edge answered, not an instance.
    kRequestEventStream = 8,    // Or a tunnel: that it lasts says nothing.
    kRequestCallerProved = 16,  // By the kernel.
    kRequestCallerUnverified = 32,
    kRequestUnderWay = 64,  // It has not ended: `ended` is now.
    kRequestHasMore = 128,  // In the edge's memory alone: it has tries or a text.
};

// Durations in microseconds, and what is longer than 71 minutes as that. `attached`, `connect` and
// `answer` are of the last try.
struct RequestRecord {
    RequestId id;
    std::int64_t begun;  // Nanoseconds of CLOCK_BOOTTIME: its head was whole.
    std::int64_t ended;
    std::uint64_t bytes_in;
    std::uint64_t bytes_out;
    std::uint32_t head_us;      // From its first byte to `begun`.
    std::uint32_t held_us;      // Without an endpoint, in all.
    std::uint32_t attached_us;  // From `begun` to the begin of the try.
    std::uint32_t connect_us;   // Of the try, until there was a connection.
    std::uint32_t answer_us;    // Of the try, until the answer's head was whole; 0: it never was.
    std::uint32_t listener;
    std::uint32_t service;  // Id in the snapshot.
    std::uint32_t release;  // 0: it never met an endpoint.
    SlotRef at;             // Of the last try; slot kNoSlot: none.
    std::uint32_t address;  // The client's, IPv4 in host byte order; 0: not known.
    std::uint16_t status;   // That its client was told; 0: none.
    std::uint8_t outcome;   // Outcome
    RequestPhase phase;
    std::uint16_t considered;  // Endpoints that might have had the last try.
    std::uint8_t attempts;
    std::uint8_t tries;   // That ended without an answer; refused ones, too.
    std::uint32_t flags;  // RequestFlags
    char target[56];      // Method and target, cut to fit, NUL-padded.
    // What most have not: up to here the edge writes down each, and the rest where there is any.
    RequestTry ended_tries[kTriesKept];
    char why[60];  // Text of an answer of the edge's own, or what else explains its end.
};
static_assert(sizeof(RequestRecord) == 256);

// What control asks: all requests whose ids begin so, in hexadecimal digits. One id may have
// several, one for each hop.
struct WhyRequest {
    std::uint64_t sequence;
    RequestId id;          // What comes after the digits is 0.
    std::uint32_t digits;  // kWhyDigitsMin to 32.
    std::uint32_t reserved;
};
static_assert(sizeof(WhyRequest) == 32);
constexpr std::uint32_t kWhyDigitsMin = 8;
constexpr std::uint32_t kWhyRowsMax = 256;

// WhyHeader, RequestRecord[count]
struct WhyHeader {
    std::uint64_t sequence;
    std::int64_t oldest;  // `begun` of the oldest that is still remembered; 0: none.
    std::int64_t now;     // CLOCK_BOOTTIME.
    std::uint64_t kept;   // So many are remembered.
    std::uint32_t count;
    std::uint32_t more;  // 1: there are more than fit.
};
static_assert(sizeof(WhyHeader) == 40);

constexpr bool begins_with(RequestId id, const WhyRequest& asked) {
    const auto same = [](std::uint64_t one, std::uint64_t other, std::uint32_t digits) {
        return digits == 0 || (one ^ other) >> (64 - 4 * digits) == 0;
    };
    const std::uint32_t high = asked.digits < 16 ? asked.digits : 16;
    return same(id.high, asked.id.high, high) && same(id.low, asked.id.low, asked.digits - high);
}

// As they stand in access.log and in the API.
constexpr std::string_view kOutcomeNames[kOutcomes] = {
    "informational",  "success", "redirect",  "client_error", "server_error",
    "connect_failed", "reset",   "timed_out", "overloaded",   "refused",
    "client_gone",    "cut",     "injected"};
constexpr std::string_view kTryEndNames[static_cast<std::size_t>(TryEnd::Count_)] = {
    "", "refused", "not_in_time", "was_closed", "lost", "cut", "answered", "silent"};
constexpr std::string_view kPhaseNames[static_cast<std::size_t>(RequestPhase::Count_)] = {
    "head", "waiting", "asked", "answering", "tunnel"};

}  // namespace thole::wire
