// Heads as they leave: requests and responses rewritten with what the edge knows, and answers of
// its own.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <span>

#include "edge/worker.h"
#include "http/emit.h"
#include "http/trace.h"
#include "wire/snapshot.h"

namespace thole::edge {

// The id that a caller inside gave is kept; what comes from outside is replaced.
wire::RequestId Worker::id_for(const http::RequestHead& head, const ListenerEntry& listener) {
    const http::Field* const given = head.find("x-request-id");
    if (listener.kind == static_cast<std::uint32_t>(wire::ListenerKind::Call) && given != nullptr &&
        given->value.size() == 32) {
        wire::RequestId id{0, 0};
        bool is_ours = true;
        for (std::size_t i = 0; i < 32; ++i) {
            const char c = given->value[i];
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                     : -1;
            if (digit < 0) is_ours = false;
            std::uint64_t& half = i < 16 ? id.high : id.low;
            half = half << 4 | static_cast<std::uint64_t>(digit & 15);
        }
        if (is_ours) return id;
    }
    return new_id();
}

wire::RequestId Worker::new_id() {
    return {random_.next(), segment_.next_id.fetch_add(1, std::memory_order_relaxed)};
}

namespace {

struct IdText {
    char text[32];
    explicit IdText(wire::RequestId id) {
        static constexpr char kDigits[] = "0123456789abcdef";
        for (std::size_t i = 0; i < 32; ++i) {
            const std::uint64_t half = i < 16 ? id.high : id.low;
            text[i] = kDigits[half >> (60 - 4 * (i % 16)) & 15];
        }
    }
    std::string_view view() const { return {text, sizeof(text)}; }
};

// The peer's address as text. Asked of the kernel once a connection and edge.
class AddressText {
public:
    AddressText(std::uint32_t fd, std::uint32_t& known) {
        if (known == 0) {
            sockaddr_in at{};
            socklen_t size = sizeof(at);
            ::getpeername(static_cast<int>(fd), reinterpret_cast<sockaddr*>(&at), &size);
            known = at.sin_addr.s_addr;
        }
        const in_addr at{known};
        if (::inet_ntop(AF_INET, &at, text_, sizeof(text_)) == nullptr) text_[0] = '\0';
    }
    std::string_view view() const { return text_; }

private:
    char text_[INET_ADDRSTRLEN] = {};
};

http::Traceparent trace_for(const http::RequestHead& head, wire::RequestId id, std::uint64_t parent,
                            bool trusts) {
    std::uint8_t trace_bytes[16], parent_bytes[8];
    std::memcpy(trace_bytes, &id, sizeof(trace_bytes));
    std::memcpy(parent_bytes, &parent, sizeof(parent_bytes));
    const http::Field* const given = head.find("traceparent");
    if (trusts && given != nullptr && http::is_traceparent(given->value)) {
        return http::continue_traceparent(given->value, http::ParentIdBytes(parent_bytes));
    }
    return http::make_traceparent(http::TraceIdBytes(trace_bytes),
                                  http::ParentIdBytes(parent_bytes), http::Sampled::Yes);
}

}  // namespace

// The rewritten head into a block; kNone where there is no block, or it does not fit (bytes 0).
std::uint32_t Worker::write_request(const http::RequestHead& head, std::uint32_t fd,
                                    wire::RequestId id, std::uint32_t& bytes) {
    if (free_.heads.empty()) return kNone;
    const ListenerEntry* const listener = listener_of(runtime_.record(fd));
    const bool trusts = listener != nullptr &&
                        listener->kind == static_cast<std::uint32_t>(wire::ListenerKind::Call);
    const IdText id_text(id);
    const http::Traceparent trace = trace_for(head, id, random_.next(), trusts);
    const AddressText peer(fd, runtime_.socket(fd).peer);
    // What comes from outside may claim anything of whom it comes from; it is replaced, not passed
    // on.
    const http::Field set[] = {{"X-Request-Id", id_text.view()},
                               {"traceparent", trace.view()},
                               {"X-Forwarded-For", peer.view()},
                               {"X-Forwarded-Proto", "http"},
                               {"X-Forwarded-Host", head.host}};
    const std::size_t said_of_outside = head.host.empty() ? 4 : 5;
    // By CGI's rules a field Proxy becomes HTTP_PROXY, which many libraries obey.
    static constexpr std::string_view kClaims[] = {"tracestate", "baggage", "proxy"};
    http::Edits edits;
    edits.set = std::span(set).first(trusts ? 2 : said_of_outside);
    if (!trusts) {
        edits.drop = kClaims;
        edits.drop_known = http::bit_of(http::Known::Forwarded);
    }
    edits.upgrade = head.upgrade;
    if (head.host.empty()) edits.host = "localhost";
    const std::optional<std::size_t> size =
        http::emit_request_head(head, edits, {segment_.heads[free_.heads.back()], kHeadBytes});
    bytes = static_cast<std::uint32_t>(size.value_or(0));
    if (!size) return kNone;
    const std::uint32_t block = free_.heads.back();
    free_.heads.pop_back();
    return block;
}

std::uint32_t Worker::write_response(const http::ResponseHead& head, const Exchange& exchange,
                                     std::uint32_t& bytes) {
    if (free_.heads.empty()) return kNone;
    const IdText id_text(exchange.id);
    const http::Field set[] = {{"X-Request-Id", id_text.view()}};
    http::Edits edits;
    edits.set = set;
    // How long it waited, beside what the instance says of its own time.
    char timing[32];
    http::Field waited{"Server-Timing"};
    if ((exchange.flags & kHeld) != 0) {
        const int size = std::snprintf(timing, sizeof(timing), "hold;dur=%u.%03u",
                                       exchange.held_us / 1000, exchange.held_us % 1000);
        waited.value = {timing, static_cast<std::size_t>(size)};
        edits.add = {&waited, 1};
    }
    edits.upgrade = head.status == 101 ? head.upgrade : std::string_view{};
    if (head.framing == http::Framing::Chunked && (exchange.flags & kHttp10) != 0)
        edits.framing = http::Framing::UntilClose;
    const bool stays = (exchange.flags & kKeepAlive) != 0;
    if (!stays) edits.persistence = http::Persistence::Close;
    if (stays && (exchange.flags & kHttp10) != 0) edits.persistence = http::Persistence::KeepAlive;
    const std::optional<std::size_t> size =
        http::emit_response_head(head, edits, {segment_.heads[free_.heads.back()], kHeadBytes});
    bytes = static_cast<std::uint32_t>(size.value_or(0));
    if (!size) return kNone;
    const std::uint32_t block = free_.heads.back();
    free_.heads.pop_back();
    return block;
}

namespace {

// Any other method passes, too.
constexpr char kAllow[] = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";

std::size_t write_own_answer(std::span<char> to, const Exchange& exchange, std::uint16_t status,
                             std::string_view why) {
    const std::int64_t now_ns = edge::now_ns();
    const bool has_body = (exchange.flags & kHeadRequest) == 0;
    const std::string_view reason = http::reason_of(status);
    const IdText id(exchange.id);
    char timing[64] = "";
    if ((exchange.flags & kHeld) != 0) {
        const std::int64_t held_us = exchange.phase == Phase::Ready
                                         ? (now_ns - exchange.attached_ns) / 1000
                                         : exchange.held_us;
        std::snprintf(timing, sizeof(timing), "Server-Timing: hold;dur=%lld.%03lld\r\n",
                      static_cast<long long>(held_us / 1000),
                      static_cast<long long>(held_us % 1000));
    }
    const char* const more = status == 503   ? "Retry-After: 1\r\n"
                             : status == 405 ? kAllow  // 9110 15.5.6
                                             : "";
    const int size =
        std::snprintf(to.data(), to.size(),
                      "HTTP/1.1 %u %.*s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                      "Connection: close\r\nX-Request-Id: %.32s\r\n%s%s\r\n%.*s",
                      status, static_cast<int>(reason.size()), reason.data(), why.size(), id.text,
                      more, timing, has_body ? static_cast<int>(why.size()) : 0, why.data());
    return static_cast<std::size_t>(size);
}

}  // namespace

// An answer of our own, after which the connection ends. It counts now: nothing else can come of
// this request.
void Worker::answer(std::uint32_t fd, const Answer& own) {
    unhold(fd);
    const ExchangeAt at = runtime_.exchange(fd);
    if (current(at).phase == Phase::Reading) {
        const wire::RequestId id = new_id();
        // Also where the rest cannot be read: who asked for a head alone waits for no body.
        const std::uint32_t ring = at.record.ring;
        const std::string_view heard =
            ring == kNone ? std::string_view()
                          : text_of(ring, current(at).in_start, runtime_.socket(fd).in);
        const std::uint32_t flags = heard.substr(0, 5) == "HEAD " ? kHeadRequest : 0U;
        commit(at, [&](Exchange& next) {
            next.id = id;
            next.flags |= flags;
            next.head_us = static_cast<std::uint32_t>((now_ns_ - next.begun_ns) / 1000);
            next.begun_ns = now_ns_;
        });
    }
    const Exchange before = current(at);
    const bool has_begun = before.response.head != kNone || before.phase == Phase::Tunnel ||
                           (before.phase == Phase::Answering && (before.flags & kInterim) == 0);
    End how = end_as(fd, own.outcome);
    how.why = own.why;
    if (has_begun || free_.heads.empty()) {
        counting_.end(at, fd, how, [](Exchange&) {});
        return close_client(fd, own.outcome);
    }
    const std::uint32_t block = free_.heads.back();
    const std::size_t size =
        write_own_answer({segment_.heads[block], kHeadBytes}, before, own.status, own.why);
    free_.heads.pop_back();
    const std::uint64_t out_start = runtime_.socket(fd).out;
    how.status = own.status;
    how.bytes_out = size;
    counting_.end(at, fd, how, [&](Exchange& next) {
        next.phase = Phase::Answering;
        next.upstream = kNone;
        next.flags = (next.flags & ~(kKeepAlive | kInterim)) | kOwnAnswer;
        next.response = Flow{};
        next.response.head = block;
        next.response.head_bytes = static_cast<std::uint32_t>(size);
        next.response.out_start = out_start;
    });
    drop_upstream(before.upstream);
}

}  // namespace thole::edge
