#include "http/emit.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/check.h"
#include "http/grammar.h"

namespace thole::http {
namespace {

// The first kBytes and the last, which may overlap.
template <std::size_t kBytes>
void copy_ends(char* to, std::string_view text) {
    struct {
        char bytes[kBytes];
    } first, last;
    const std::size_t rest = text.size() - kBytes;
    std::memcpy(&first, text.data(), kBytes);
    std::memcpy(&last, text.data() + rest, kBytes);
    std::memcpy(to, &first, kBytes);
    std::memcpy(to + rest, &last, kBytes);
}

// Most texts of a head are short: calling memcpy for each costs more than the copy.
char* copy(char* to, std::string_view text) {
    const std::size_t size = text.size();
    if (size > 32) {
        std::memcpy(to, text.data(), size);
    } else if (size >= 16) {
        copy_ends<16>(to, text);
    } else if (size >= 8) {
        copy_ends<8>(to, text);
    } else if (size >= 4) {
        copy_ends<4>(to, text);
    } else {
        for (std::size_t at = 0; at < size; ++at) to[at] = text[at];
    }
    return to + size;
}

// Goes on counting nothing once something did not fit.
class Writer {
public:
    explicit Writer(std::span<char> to) : to_(to) {}

    void put(std::string_view text) {
        fits_ = fits_ && text.size() <= to_.size() - size_;
        if (!fits_) return;
        copy(to_.data() + size_, text);
        size_ += text.size();
    }
    void put_number(std::uint64_t number) {
        std::array<char, 20> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
        put({digits.data(), static_cast<std::size_t>(end - digits.data())});
    }
    void put_field(std::string_view name, std::string_view value) {
        fits_ = fits_ && name.size() + value.size() + 4 <= to_.size() - size_;
        if (!fits_) return;
        char* at = copy(to_.data() + size_, name);
        at = copy(at, ": ");
        at = copy(at, value);
        copy(at, "\r\n");
        size_ += name.size() + value.size() + 4;
    }
    // What may not stand in a value becomes blanks: obs-fold (9112 5.2), and whatever an edit has.
    void put_cleaned(std::string_view name, std::string_view value) {
        put_field(name, value);
        if (!fits_) return;
        char* const end = to_.data() + size_ - 2;
        char* at = end - value.size();
        for (at += skip_value({at, end}); at != end; at += skip_value({at, end})) *at = ' ';
    }
    std::optional<std::size_t> result() const {
        return fits_ ? std::optional<std::size_t>(size_) : std::nullopt;
    }

private:
    std::span<char> to_;
    std::size_t size_ = 0;
    bool fits_ = true;
};

constexpr std::uint32_t kForThisHopOnly =
    bit_of(Known::Host) | bit_of(Known::ContentLength) | bit_of(Known::TransferEncoding) |
    bit_of(Known::Connection) | bit_of(Known::KeepAlive) | bit_of(Known::Te) |
    bit_of(Known::Trailer) | bit_of(Known::Upgrade) | bit_of(Known::Http2Settings) |
    bit_of(Known::Proxy);

// What the next hop decides by: a client that could list it away would decide for it.
constexpr std::uint32_t kNeverListed = bit_of(Known::Authorization) | bit_of(Known::Forwarded) |
                                       bit_of(Known::RequestId) | bit_of(Known::Traceparent) |
                                       bit_of(Known::Tracestate) | bit_of(Known::Expect) |
                                       bit_of(Known::Via);

bool is_dropped(const Field& field, const MessageHead& head, const Edits& edits) {
    if (((kForThisHopOnly | edits.drop_known) & bit_of(field.known)) != 0) return true;
    const auto is_name = [&](std::string_view name) { return same_name(name, field.name); };
    if (std::any_of(edits.drop.begin(), edits.drop.end(), is_name)) return true;
    const auto is_set = [&](const OwnField& set) { return same_name(set.name.text(), field.name); };
    if (std::any_of(edits.set.begin(), edits.set.end(), is_set)) return true;
    if ((kNeverListed & bit_of(field.known)) != 0) return false;
    const auto listed = head.listed.begin();
    return std::any_of(listed, listed + head.listed_count, is_name);
}

void put_framing(Writer& writer, const MessageHead& head, Framing framing) {
    if (framing == Framing::Chunked) {
        writer.put("Transfer-Encoding: chunked\r\n");
    } else if (framing == Framing::Length || (framing == Framing::None && head.says_length)) {
        writer.put("Content-Length: ");
        writer.put_number(head.length);
        writer.put("\r\n");
    }
}

void put_connection(Writer& writer, const Edits& edits, Framing framing) {
    std::string_view separator = "Connection: ";
    const auto put_option = [&](std::string_view option) {
        writer.put(separator);
        writer.put(option);
        separator = ", ";
    };
    const bool closes = framing == Framing::UntilClose || edits.persistence == Persistence::Close;
    if (closes) put_option("close");
    if (!closes && edits.persistence == Persistence::KeepAlive) put_option("keep-alive");
    if (!edits.upgrade.empty()) put_option("upgrade");
    if (separator == ", ") writer.put("\r\n");
    if (!edits.upgrade.empty()) writer.put_field("Upgrade", edits.upgrade);
}

void put_fields(Writer& writer, const MessageHead& head, const Edits& edits) {
    for (const Field& field : head.all()) {
        if (is_dropped(field, head, edits)) continue;
        if (field.is_folded) {
            writer.put_cleaned(field.name, field.value);
        } else {
            writer.put_field(field.name, field.value);
        }
    }
    for (const std::span<const OwnField> ours : {edits.set, edits.add}) {
        for (const OwnField& field : ours) writer.put_cleaned(field.name.text(), field.value);
    }
    writer.put("\r\n");
}

}  // namespace

OwnName OwnName::of(std::string_view text) {
    CHECK(is_token(text));
    OwnName name;
    name.text_ = text;
    return name;
}

std::optional<std::size_t> emit_request_head(const RequestHead& head, const Edits& edits,
                                             std::span<char> to) {
    const std::string_view host = edits.host.empty() ? head.host : edits.host;
    if (host.empty()) return std::nullopt;
    Writer writer(to);
    writer.put(head.method);
    writer.put(head.path.empty() || head.path.front() == '?' ? " /" : " ");
    writer.put(head.path);
    writer.put(" HTTP/1.1\r\n");
    writer.put_field("Host", host);
    const Framing framing = edits.framing.value_or(head.framing);
    put_framing(writer, head, framing);
    put_connection(writer, edits, framing);
    Edits rest = edits;
    if (!head.expect_continue) rest.drop_known |= bit_of(Known::Expect);
    put_fields(writer, head, rest);
    return writer.result();
}

std::optional<std::size_t> emit_response_head(const ResponseHead& head, const Edits& edits,
                                              std::span<char> to) {
    CHECK(head.status >= 100 && head.status <= 599);
    Writer writer(to);
    writer.put("HTTP/1.1 ");
    writer.put_number(head.status);
    writer.put(" ");
    writer.put(head.reason.empty() ? reason_of(head.status) : head.reason);
    writer.put("\r\n");
    const Framing framing = edits.framing.value_or(head.framing);
    put_framing(writer, head, framing);
    put_connection(writer, edits, framing);
    put_fields(writer, head, edits);
    return writer.result();
}

std::size_t emit_chunk_size(std::uint64_t bytes, std::span<char> to) {
    CHECK(bytes > 0);
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), bytes, 16).ptr;
    Writer writer(to);
    writer.put({digits.data(), static_cast<std::size_t>(end - digits.data())});
    writer.put(kChunkEnd);
    return writer.result().value_or(0);
}

std::string_view reason_of(std::uint16_t status) {
    switch (status) {
        case 100: return "Continue";
        case 101: return "Switching Protocols";
        case 103: return "Early Hints";
        case 200: return "OK";
        case 201: return "Created";
        case 202: return "Accepted";
        case 204: return "No Content";
        case 205: return "Reset Content";
        case 206: return "Partial Content";
        case 301: return "Moved Permanently";
        case 302: return "Found";
        case 303: return "See Other";
        case 304: return "Not Modified";
        case 307: return "Temporary Redirect";
        case 308: return "Permanent Redirect";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 409: return "Conflict";
        case 411: return "Length Required";
        case 412: return "Precondition Failed";
        case 413: return "Content Too Large";
        case 414: return "URI Too Long";
        case 415: return "Unsupported Media Type";
        case 417: return "Expectation Failed";
        case 422: return "Unprocessable Content";
        case 426: return "Upgrade Required";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 502: return "Bad Gateway";
        case 503: return "Service Unavailable";
        case 504: return "Gateway Timeout";
        case 505: return "HTTP Version Not Supported";
        case 508: return "Loop Detected";  // RFC 5842
        default: return "Unknown";
    }
}

}  // namespace thole::http
