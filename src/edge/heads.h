// What heads say to the edge itself, and what it remembers of those it has written.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "edge/admission.h"
#include "edge/exchange.h"
#include "edge/loops.h"
#include "http/head.h"

namespace thole::edge {

// Doing it twice is no harm: by its method (RFC 9110 section 9.2.2; TRACE is refused), or because
// its client names it, so that its service knows it again (Idempotency-Key, for POST and PATCH:
// draft-ietf-httpapi-idempotency-key-header).
bool may_be_repeated(const http::RequestHead& head);

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
    Priority priority = Priority::Normal;
    std::uint32_t passes = 0;  // No wish of anybody: so often it has come through us before.

    // The shorter one.
    std::optional<std::int64_t> in_all_ns() const;
    // No later than this, 0: any time; whoever is asked is told so, too.
    void end_after(std::int64_t limit_ns);
};
// Who is outside may shorten its request's time, and says nothing of attempts and priorities: a
// browser's are meant for its own page.
Wish wish_of(const http::RequestHead& head, From from, const OwnVia& own);

}  // namespace thole::edge
