// Writes heads in canonical form: from the parsed head plus edits, never a received framing byte
// (9112 2.2, 9110 7.6.1). Into a buffer of the caller's; no allocation, no I/O. Deliberately not
// here: which edits are right, bodies, and anything that waits.
//
// Always dropped: Connection and what it lists (Host, framing, Authorization, Expect, Via and what
// says who asks cannot be listed away), Keep-Alive, Proxy-*, Upgrade, HTTP2-Settings, TE and
// Trailer (trailers are not passed on), and Content-Length, Transfer-Encoding and Host as received.
// Written anew: Host, the framing, Connection, Upgrade; "Connection: close" always where the body
// ends with the connection. All others keep their order; those set or added come last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "http/grammar.h"
#include "http/head.h"

namespace thole::http {

// Bits for Edits::drop_known.
constexpr std::uint32_t bit_of(Known known) { return 1U << static_cast<unsigned>(known); }

// What the receiver is told of the connection.
enum class Persistence : std::uint8_t {
    Unsaid,     // HTTP/1.1's default: it stays.
    KeepAlive,  // Said aloud, for a client of HTTP/1.0.
    Close,
};

// The name of a field that we write. Checked where it is made, which for most is by the compiler:
// so that no head pays for it.
class OwnName {
public:
    constexpr OwnName() = default;  // Nobody's: of a place that is not filled.
    consteval OwnName(const char* text) : text_(text) {
        if (!is_token(text_)) is_no_token();
    }
    // One that is known only now; it must be a token.
    static OwnName of(std::string_view text);
    std::string_view text() const { return text_; }

private:
    static void is_no_token();  // Nowhere: what the compiler says where it would be called.
    std::string_view text_;
};

struct OwnField {
    OwnName name = {};
    std::string_view value = {};
};

struct Edits {
    // Each replaces all fields of its name, or is added. Control characters in a value are written
    // as blanks, so that no value ends a line. Framing fields, Host, Connection and Upgrade are not
    // set this way.
    std::span<const OwnField> set = {};
    std::span<const OwnField> add = {};           // The same, but beside those of its name.
    std::span<const std::string_view> drop = {};  // By name, without case.
    std::uint32_t drop_known = 0;                 // By kind: bit_of(Known::Forwarded) | ...
    std::optional<Framing> framing = {};          // Where the body is re-framed; `length` stays.
    Persistence persistence = Persistence::Unsaid;
    std::string_view host = {};  // Requests: instead of the parsed one.
    std::string_view upgrade =
        {};  // What is asked for or agreed to, or empty: never taken from `head`.
};

// The size written, or nothing where it does not fit. A request without a host (HTTP/1.0) needs
// Edits::host; without one nothing is written, either.
std::optional<std::size_t> emit_request_head(const RequestHead& head, const Edits& edits,
                                             std::span<char> to);
std::optional<std::size_t> emit_response_head(const ResponseHead& head, const Edits& edits,
                                              std::span<char> to);

// "1f4\r\n" before `bytes` bytes of data, which kChunkEnd follows; at most 18 bytes. Returns the
// size, 0 where it does not fit. bytes > 0: a chunk of none would end the body.
std::size_t emit_chunk_size(std::uint64_t bytes, std::span<char> to);
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// "Not Found", or "Unknown".
std::string_view reason_of(std::uint16_t status);

}  // namespace thole::http
