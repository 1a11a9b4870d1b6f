// Deadlines that travel with a request: read, lessened by what has passed, written for the next
// hop, and refused at once where they cannot be kept. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/random.h"

namespace thole::edge {

// `X-Request-Timeout-Ms: 1*8DIGIT`, in nanoseconds. Nothing where it is malformed: then the field
// is dropped, not passed on, and the service's own limit holds, because a request that worked
// before must not fail for a field that nobody read. 0 is over at once.
std::optional<std::int64_t> read_timeout_ms(std::string_view value);
// `grpc-timeout: 1*8DIGIT ( H / M / S / m / u / n )`, the same. Longer than kTimeoutMaxNs is that.
// Source: gRPC over HTTP2, Timeout.
std::optional<std::int64_t> read_grpc_timeout(std::string_view value);

// Longer than any limit of ours: so that sums of times do not overflow.
constexpr std::int64_t kTimeoutMaxNs = 7 * 24 * 3600 * std::int64_t{1'000'000'000};

// When a request ends: after its client's wish or the service's limit, whichever is less.
std::int64_t deadline_ns(std::int64_t begun_ns, std::optional<std::int64_t> wished_ns,
                         std::int64_t limit_ns);

// What the next hop is told, always of one width, so that a second attempt writes over the first.
// Rounded down: the hop ends before we do.
using TimeoutMs = std::array<char, 8>;    // "      95"; what is left of a value is no part of it.
using GrpcTimeout = std::array<char, 9>;  // "00095000u", in the finest unit that fits.
TimeoutMs write_timeout_ms(std::int64_t remaining_ns);
GrpcTimeout write_grpc_timeout(std::int64_t remaining_ns);

// What is known of a route's answers: half of them take no longer than this.
struct Usual {
    std::uint64_t samples = 0;
    std::int64_t half_ns = 0;
};
// Fewer samples than this refuse nobody.
constexpr std::uint64_t kUsualSamplesMin = 50;
// Of the requests that would be refused one in so many goes on all the same: else a route that was
// slow once would never be seen to be quick again.
constexpr std::uint64_t kTriedAnyway = 16;

// Whether it is worth to begin a request with so much time left; if not, 504 at once.
bool can_finish(std::int64_t remaining_ns, const Usual& usual, Random& random);

}  // namespace thole::edge
