// One field of a head, as a view into the bytes that were parsed, and what its name means to us.
// Known names are told apart once, while parsing, so that nobody compares texts again. A field
// never owns its text: it lives as long as the buffer it was parsed from.
#pragma once

#include <cstdint>
#include <string_view>

namespace thole::http {

enum class Known : std::uint8_t {
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    KeepAlive,
    Te,
    Trailer,
    Upgrade,
    Http2Settings,
    Proxy,  // Any Proxy-*.
    Expect,
    Authorization,
    Forwarded,  // Forwarded, any X-Forwarded-*, X-Real-IP.
    RequestId,
    Traceparent,
    Tracestate,
    RequestTimeout,  // X-Request-Timeout-Ms.
    GrpcTimeout,
    Attempt,  // X-Thole-Attempt.
    Via,
};

Known known_name(std::string_view name);
// The same, for who maps '_' to '-' or skips doubled ones.
Known known_as_read(std::string_view name);

// Whether some parser, after mapping '_' to '-' or skipping doubled ones, would take this name for
// a field that frames the message or carries trust, though it is not that name. CGI and WSGI do.
bool is_twin_of_trusted_name(std::string_view name);

struct Field {
    std::string_view name = {};
    std::string_view value = {};  // Without blanks around it.
    Known known = Known::Other;
    // Responses only: the value holds CRLF and blanks where it went on in the next line (obs-fold).
    // emit.h writes blanks there; whoever shows the value must do the same.
    bool is_folded = false;
};

}  // namespace thole::http
