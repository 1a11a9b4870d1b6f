// What heads say to the edge itself, and what it remembers of those it has written.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "edge/exchange.h"
#include "http/head.h"

namespace thole::edge {

// RFC 9110 section 9.2.2. TRACE is refused.
bool is_idempotent(std::string_view method);

// A head in a block, rewritten; or none.
struct Written {
    std::uint32_t block = kNone;
    std::uint32_t bytes = 0;
    // Of a request: as in Exchange.
    std::uint16_t timeout_at = 0;
    std::uint16_t grpc_timeout_at = 0;
    std::uint16_t attempt_at = 0;
};

// Who sends a request, from where: that decides what it may claim of it.
enum class From : std::uint8_t { Outside, Proxy, Inside };
struct Asker {
    std::uint32_t fd;
    From from;
    wire::RequestId id;
};

// What the sender of a request wants of its time and its attempts.
struct Wish {
    std::optional<std::int64_t> timeout_ns;
    std::optional<std::int64_t> grpc_timeout_ns;
    bool retries_itself = false;

    // The shorter one.
    std::optional<std::int64_t> in_all_ns() const;
};
// Who is outside may shorten its request's time, and says nothing of attempts.
Wish wish_of(const http::RequestHead& head, From from);

}  // namespace thole::edge
