// Heads of HTTP/1.0 and 1.1 messages, parsed strictly (RFC 9112; rules.h names each refusal) into
// views of the given bytes. No allocation, no copy, no I/O. Deliberately not here: bodies (body.h),
// writing (emit.h), decisions by path or policy such as "..", encoded slashes, allowed upgrades.
//
// A head owns no text: it is valid while the bytes it was parsed from stay where they are. It has
// no thread of its own. Sizes are bytes. A head may also be filled by hand and given to emit.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "http/field.h"
#include "http/rules.h"

namespace thole::http {

// Of one head: large cookies fit, and two heads of each exchange lie in the edge's memory. Else
// 431. Source: RFC 6585 section 5.
constexpr std::size_t kHeadBytesMax = 32 * 1024;
// More is 414; 8000 octets are asked of everybody. Source: RFC 9110 section 4.1, RFC 9112
// section 3.
constexpr std::size_t kTargetBytesMax = 8 * 1024;
// The longest registered one has 17. Source: IANA, HTTP Method Registry.
constexpr std::size_t kMethodBytesMax = 32;
// Of one head, else 431. Source: Envoy, max_headers_count.
constexpr std::size_t kFieldsMax = 100;
constexpr std::size_t kListedMax = 16;

// How the end of the body is known. The body's bytes follow the head.
enum class Framing : std::uint8_t { None, Length, Chunked, UntilClose };

enum class HeadState : std::uint8_t { NeedMore, Done, Bad };

struct HeadResult {
    HeadState state = HeadState::NeedMore;
    Rule rule = Rule::None;    // Bad: which one was broken.
    std::uint16_t status = 0;  // Bad: what to answer, then close. 502 for a response.
    // Done: the size of the head with its empty line. NeedMore: where the next search may begin.
    std::size_t bytes = 0;
};

// What requests and responses share.
struct MessageHead {
    std::array<Field, kFieldsMax> fields;  // The first field_count, in the order received.
    std::uint32_t field_count = 0;
    std::uint32_t listed_count = 0;
    // What Connection names besides close, keep-alive and upgrade: fields for the next hop only.
    std::array<std::string_view, kListedMax> listed;
    std::uint8_t version_minor = 1;
    Framing framing = Framing::None;
    // Length: of the body. A response to HEAD and a 304 have no body, but may say a length.
    std::uint64_t length = 0;
    bool says_length = false;
    // Whether the sender allows another message on this connection, framing included.
    bool keep_alive = true;
    // The value of Upgrade where Connection names it, too, and it may be honoured (requests: GET
    // without a body in HTTP/1.1; responses: 101); else empty. It may be a list.
    std::string_view upgrade;

    std::span<const Field> all() const { return {fields.data(), field_count}; }
    // The first of that name, or null.
    const Field* find(Known known) const;
    const Field* find(std::string_view name) const;
};

struct RequestHead : MessageHead {
    std::string_view method;
    std::string_view target;  // As received.
    // The target without scheme and authority. Empty or beginning with '?' where an absolute form
    // had no path: emit.h then puts "/" in front. "*" for OPTIONS of the server as a whole.
    std::string_view path;
    std::string_view host;  // host[:port] of an absolute target, else of Host; empty: 1.0 without.
    bool expect_continue = false;
};

struct ResponseHead : MessageHead {
    std::uint16_t status = 0;
    std::string_view reason;
};

// What was asked: a response cannot be framed without it.
struct Asked {
    std::string_view method = {};
    // As it was sent, or empty: then a 101 is refused. One may choose among several.
    std::string_view upgrade = {};
};

// Looks for the empty line that ends the head, and refuses stray CR, LF and controls on the way.
// `from` is what an earlier call with a prefix of these bytes returned with NeedMore, else 0: so
// that a head that comes in drops is read once. At most kHeadBytesMax are looked at.
HeadResult find_head_end(std::string_view bytes, std::size_t from);

// Both give the same result however the bytes arrive: NeedMore until the end of the head or the
// first stray byte is there. With Bad the head is in no useful state. One empty line before a
// request is skipped and counts to its size (9112 2.2).
HeadResult parse_request_head(std::string_view bytes, RequestHead& head);
HeadResult parse_response_head(std::string_view bytes, const Asked& asked, ResponseHead& head);

// This list of an Upgrade field without HTTP/2 in plaintext, by which requests would pass who reads
// HTTP/1.1; RFC 9113 section 3.1 has dropped it. Itself, or a list in `room`; empty where nothing
// is left, or it does not fit.
std::string_view without_h2c(std::string_view upgrade, std::span<char> room);

}  // namespace thole::http
