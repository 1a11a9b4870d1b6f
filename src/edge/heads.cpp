// Heads as they leave: requests and responses rewritten with what the edge knows, and answers of
// its own.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>

#include "edge/worker.h"
#include "http/emit.h"
#include "http/grammar.h"
#include "http/hex.h"
#include "http/trace.h"
#include "model/defaults.h"
#include "os/fault_point.h"
#include "wire/snapshot.h"

namespace thole::edge {
namespace {
// What is written anew by each attempt, in its width.
constexpr std::string_view kTimeoutRoom = "        ";
constexpr std::string_view kGrpcTimeoutRoom = "00000000u";
constexpr std::string_view kAttemptRoom = "1/3";
static_assert(kTimeoutRoom.size() == sizeof(TimeoutMs));
static_assert(kGrpcTimeoutRoom.size() == sizeof(GrpcTimeout));
static_assert(kAttemptRoom[2] == '0' + model::kAttemptsMax);
constexpr std::uint64_t kIdsOfBlock = 65536;  // So seldom workers meet over their next one.
constexpr std::string_view kEndOfHead = "\r\n\r\n";
constexpr std::string_view kBetweenFields = "\r\n: ";

// Whether all of it can be kept until it is answered, so that it may be sent again.
bool can_be_kept(const http::RequestHead& head) {
    return head.framing == http::Framing::None ||
           (head.framing == http::Framing::Length && head.length <= kRingBytes);
}

// The id that a caller inside or a trusted proxy gave is kept, where it is one of our form (nginx's
// $request_id is); all others are replaced.
std::optional<wire::RequestId> given_id(const http::RequestHead& head) {
    const http::Field* const given = head.find(http::Known::RequestId);
    if (given == nullptr || given->value.size() != 32) return std::nullopt;
    wire::RequestId id{0, 0};
    for (std::size_t i = 0; i < 32; ++i) {
        const char c = given->value[i];
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) return std::nullopt;
        std::uint64_t& half = i < 16 ? id.high : id.low;
        half = half << 4 | static_cast<std::uint64_t>(digit);
    }
    return id;
}

}  // namespace

Asker Worker::asker_of(std::uint32_t fd, const http::RequestHead& head, const ListenerRoutes& of) {
    const ListenerEntry& listener = segment_.listeners[runtime_.record(fd).listener_place];
    From from = From::Outside;
    if (listener.kind == static_cast<std::uint32_t>(wire::ListenerKind::Call)) {
        from = From::Inside;
    } else if (of.network_count > 0 &&
               is_trusted(routes_->table, of,
                          ntohl(peer_of(static_cast<int>(fd), runtime_.socket(fd))))) {
        from = From::Proxy;
    }
    const std::optional<wire::RequestId> given =
        from == From::Outside ? std::nullopt : given_id(head);
    return {fd, from, given ? *given : new_id()};
}

wire::RequestId WorkerParts::new_id() {
    if (next_id_ % kIdsOfBlock == 0)
        next_id_ = segment_.id_blocks.fetch_add(1, std::memory_order_relaxed) * kIdsOfBlock;
    return {random_.next(), next_id_++};
}

namespace {

struct IdText {
    char text[32];
    explicit IdText(wire::RequestId id) {
        http::write_hex16(text, id.high);
        http::write_hex16(text + 16, id.low);
    }
    std::string_view view() const { return {text, sizeof(text)}; }
};

// The peer's address, in network order, as text. inet_ntop would cost more than the rest of the
// head.
class AddressText {
public:
    explicit AddressText(std::uint32_t address) {
        for (int byte = 0; byte < 4; ++byte) {
            if (byte > 0) text_[size_++] = '.';
            put(address >> (8 * byte) & 0xff);
        }
    }
    std::string_view view() const { return {text_, size_}; }

private:
    void put(std::uint32_t number) {
        if (number >= 100) text_[size_++] = static_cast<char>('0' + number / 100);
        if (number >= 10) text_[size_++] = static_cast<char>('0' + number / 10 % 10);
        text_[size_++] = static_cast<char>('0' + number % 10);
    }

    char text_[INET_ADDRSTRLEN];
    std::size_t size_ = 0;
};

http::Traceparent trace_for(const http::RequestHead& head, wire::RequestId id, std::uint64_t parent,
                            bool trusts) {
    std::uint8_t trace_bytes[16], parent_bytes[8];
    std::memcpy(trace_bytes, &id, sizeof(trace_bytes));
    std::memcpy(parent_bytes, &parent, sizeof(parent_bytes));
    const http::Field* const given = head.find(http::Known::Traceparent);
    if (trusts && given != nullptr && http::is_traceparent(given->value)) {
        return http::continue_traceparent(given->value, http::ParentIdBytes(parent_bytes));
    }
    return http::make_traceparent(http::TraceIdBytes(trace_bytes),
                                  http::ParentIdBytes(parent_bytes), http::Sampled::Yes);
}

// The only one of that name, else nothing.
const http::Field* sole(const http::RequestHead& head, std::string_view name) {
    const http::Field* found = nullptr;
    for (const http::Field& field : head.all()) {
        if (!http::same_name(field.name, name)) continue;
        if (found != nullptr) return nullptr;
        found = &field;
    }
    return found;
}

bool has_sole_scheme(const http::RequestHead& head) {
    const http::Field* const given = sole(head, "x-forwarded-proto");
    if (given == nullptr) return false;
    for (const std::string_view scheme : {"http", "https", "ws", "wss"}) {
        if (http::same_name(given->value, scheme)) return true;
    }
    return false;
}

bool has_sole_host(const http::RequestHead& head) {
    const http::Field* const given = sole(head, "x-forwarded-host");
    return given != nullptr && http::is_host(given->value);
}

// Who forwarded it so far, in one field, with the peer behind; nothing where that is too long.
std::string_view forwarded_for(const http::RequestHead& head, std::string_view peer,
                               std::span<char> room) {
    std::size_t size = 0;
    const auto put = [&](std::string_view text) {
        if (text.size() > room.size() - size) return false;
        std::memcpy(room.data() + size, text.data(), text.size());
        size += text.size();
        return true;
    };
    for (const http::Field& field : head.all()) {
        if (!http::same_name(field.name, "x-forwarded-for") || field.value.empty()) continue;
        if (!put(field.value) || !put(", ")) return {};
    }
    return put(peer) ? std::string_view(room.data(), size) : std::string_view{};
}

}  // namespace

bool may_be_repeated(const http::RequestHead& head) {
    for (const std::string_view safe : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}) {
        if (head.method == safe) return true;
    }
    if (head.method != "POST" && head.method != "PATCH") return false;
    const http::Field* const key = sole(head, "idempotency-key");
    return key != nullptr && !key->value.empty();
}

std::optional<std::int64_t> Wish::in_all_ns() const {
    if (!timeout_ns || !grpc_timeout_ns) return timeout_ns ? timeout_ns : grpc_timeout_ns;
    return std::min(*timeout_ns, *grpc_timeout_ns);
}

void Wish::end_after(std::int64_t limit_ns) {
    if (limit_ns == 0) return;
    if (!timeout_ns && !grpc_timeout_ns) timeout_ns = limit_ns;
    if (timeout_ns) timeout_ns = std::min(*timeout_ns, limit_ns);
    if (grpc_timeout_ns) grpc_timeout_ns = std::min(*grpc_timeout_ns, limit_ns);
}

Wish wish_of(const http::RequestHead& head, From from, const OwnVia& own) {
    Wish wish;
    for (const http::Field& field : head.all()) {
        if (field.known == http::Known::RequestTimeout) {
            wish.timeout_ns = read_timeout_ms(field.value);
        } else if (field.known == http::Known::GrpcTimeout) {
            wish.grpc_timeout_ns = read_grpc_timeout(field.value);
        } else if (field.known == http::Known::Via) {
            wish.passes += own.count_in(field.value);
        } else if (field.known == http::Known::Attempt && from == From::Inside) {
            const std::string_view said = field.value;  // "1/3"
            wish.retries_itself = said.size() == 3 && said[1] == '/' && said[0] >= '1' &&
                                  said[0] < said[2] && said[2] <= '9';
        } else if (from != From::Outside && http::same_name(field.name, "priority")) {
            wish.priority = priority_of(field.value);
        }
    }
    return wish;
}

// The rewritten head into a block; none where there is no block, it does not fit, or it goes round.
Written Worker::write_request(const http::RequestHead& head, const Asker& by, const Wish& wish) {
    if (free_.heads.empty() || wish.passes > model::kPassesMax) return {};
    const From from = by.from;
    const IdText id_text(by.id);
    const http::Traceparent trace = trace_for(head, by.id, random_.next(), from != From::Outside);
    const AddressText peer(peer_of(static_cast<int>(by.fd), runtime_.socket(by.fd)));
    const std::span<char> chain(chain_.get(), http::kHeadBytesMax);
    std::array<http::OwnField, 8> set = {
        {{"X-Request-Id", id_text.view()}, {"traceparent", trace.view()}}};
    std::size_t count = 2;
    // What comes from outside may claim anything of whom it comes from; it is replaced, not passed
    // on. A proxy that is believed says it itself, and is named behind; where it says nothing, or
    // nothing that one can go by, it is the one who asks.
    if (from == From::Outside) set[count++] = {"X-Forwarded-For", peer.view()};
    if (from == From::Proxy) {
        set[count] = {"X-Forwarded-For", forwarded_for(head, peer.view(), chain)};
        if (set[count++].value.empty()) return {};
    }
    if (from == From::Outside || (from == From::Proxy && !has_sole_scheme(head)))
        set[count++] = {"X-Forwarded-Proto", "http"};
    const bool says_host = from == From::Outside || (from == From::Proxy && !has_sole_host(head));
    if (says_host && !head.host.empty()) set[count++] = {"X-Forwarded-Host", head.host};
    // The last ones, so that it is known where they stand: each attempt writes its own.
    Written written;
    const bool retries = !wish.retries_itself && may_be_repeated(head) && can_be_kept(head);
    if (wish.timeout_ns) set[count++] = {"X-Request-Timeout-Ms", kTimeoutRoom};
    if (wish.grpc_timeout_ns) set[count++] = {"grpc-timeout", kGrpcTimeoutRoom};
    if (retries) set[count++] = {"X-Thole-Attempt", kAttemptRoom};
    // By CGI's rules a field Proxy becomes HTTP_PROXY, which many libraries obey.
    static constexpr std::string_view kClaims[] = {"proxy", "x-forwarded-host", "tracestate",
                                                   "baggage"};
    http::Edits edits;
    edits.set = std::span(set).first(count);
    // Behind those of whoever it came by, which tell the way in their order.
    const http::OwnField via{"Via", runtime_.own_via.of(head.version_minor)};
    edits.add = {&via, 1};
    if (from == From::Proxy) edits.drop = std::span(kClaims).first(says_host ? 2 : 1);
    // Also those that are malformed; only what its caller says of its own attempts goes on.
    edits.drop_known =
        http::bit_of(http::Known::RequestTimeout) | http::bit_of(http::Known::GrpcTimeout);
    if (!wish.retries_itself) edits.drop_known |= http::bit_of(http::Known::Attempt);
    if (from == From::Outside) {
        edits.drop = kClaims;
        edits.drop_known |= http::bit_of(http::Known::Forwarded);
    }
    edits.upgrade = head.upgrade;
    if (head.host.empty()) edits.host = "localhost";
    const std::optional<std::size_t> size =
        http::emit_request_head(head, edits, {segment_.heads[free_.heads.back()], kHeadBytes});
    if (!size) return {};
    written.bytes = static_cast<std::uint32_t>(*size);
    written.block = free_.heads.back();
    free_.heads.pop_back();
    // From the end on: an empty line, then one field before the other.
    std::size_t at = *size - kEndOfHead.size();
    const auto place_of = [&at](std::string_view room, std::string_view name) {
        const std::size_t place = at - room.size();
        at = place - name.size() - kBetweenFields.size();
        return static_cast<std::uint16_t>(place);
    };
    place_of(via.value, "Via");
    if (retries) written.attempt_at = place_of(kAttemptRoom, "X-Thole-Attempt");
    if (wish.grpc_timeout_ns) written.grpc_timeout_at = place_of(kGrpcTimeoutRoom, "grpc-timeout");
    if (wish.timeout_ns) written.timeout_at = place_of(kTimeoutRoom, "X-Request-Timeout-Ms");
    return written;
}

// Into the head that is about to be sent: which attempt it is, and what is left of its time.
void Worker::write_attempt(const Exchange& exchange) {
    char* const head = segment_.heads[exchange.request.head];
    const std::int64_t left_ns = exchange.deadline_ns - now_ns_;
    if (exchange.attempt_at != 0)
        head[exchange.attempt_at] = static_cast<char>('1' + exchange.attempts);
    if (exchange.timeout_at != 0) {
        const TimeoutMs text = write_timeout_ms(left_ns);
        std::memcpy(head + exchange.timeout_at, text.data(), text.size());
    }
    if (exchange.grpc_timeout_at != 0) {
        const GrpcTimeout text = write_grpc_timeout(left_ns);
        std::memcpy(head + exchange.grpc_timeout_at, text.data(), text.size());
    }
}

Written Worker::write_response(const http::ResponseHead& head, const Exchange& exchange) {
    if (free_.heads.empty()) return {};
    const IdText id_text(exchange.id);
    const http::OwnField set[] = {{"X-Request-Id", id_text.view()}};
    http::Edits edits;
    edits.set = set;
    // How long it waited, beside what the instance says of its own time.
    char timing[32];
    http::OwnField waited{"Server-Timing"};
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
    if (!size) return {};
    Written written;
    written.bytes = static_cast<std::uint32_t>(*size);
    written.block = free_.heads.back();
    free_.heads.pop_back();
    return written;
}

namespace {

// Any other method passes, too.
constexpr char kAllow[] = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";

std::size_t write_own_answer(std::span<char> to, const Exchange& exchange, const Answer& own) {
    const auto [status, outcome, why, retry_after_s] = own;
    const std::int64_t now_ns = edge::now_ns();
    const bool has_body = (exchange.flags & kHeadRequest) == 0;
    const std::string_view reason = http::reason_of(status);
    const IdText id(exchange.id);
    char fault[32] = "";
    if (exchange.fault != 0)
        std::snprintf(fault, sizeof(fault), "X-Thole-Fault: %u\r\n", exchange.fault);
    char timing[64] = "";
    if ((exchange.flags & kHeld) != 0) {
        const std::int64_t held_us = exchange.phase == Phase::Ready
                                         ? (now_ns - exchange.attached_ns) / 1000
                                         : exchange.held_us;
        std::snprintf(timing, sizeof(timing), "Server-Timing: hold;dur=%lld.%03lld\r\n",
                      static_cast<long long>(held_us / 1000),
                      static_cast<long long>(held_us % 1000));
    }
    char retry_after[32];
    std::snprintf(retry_after, sizeof(retry_after), "Retry-After: %u\r\n", retry_after_s);
    const char* const more = status == 503   ? retry_after
                             : status == 405 ? kAllow  // 9110 15.5.6
                                             : "";
    const int size =
        std::snprintf(to.data(), to.size(),
                      "HTTP/1.1 %u %.*s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                      "Connection: close\r\nX-Request-Id: %.32s\r\n%s%s%s\r\n%.*s",
                      status, static_cast<int>(reason.size()), reason.data(), why.size(), id.text,
                      more, timing, fault, has_body ? static_cast<int>(why.size()) : 0, why.data());
    return static_cast<std::size_t>(size);
}

}  // namespace

// An answer of our own, after which the connection ends. It counts now: nothing else can come of
// this request.
void Worker::answer(std::uint32_t fd, const Answer& own) {
    unhold(fd);
    entrance_.leave(fd);
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
    const std::string_view rule = rule_in(own.why);
    const auto count_rule = [&] {
        if (!rule.empty())
            segment_.refusals[number_].count(
                {own.outcome == wire::Outcome::Reset ? wire::RefusalKind::Answer
                                                     : wire::RefusalKind::Request,
                 before.listener,
                 before.phase == Phase::Reading ? wire::kNoSlot : before.service.id, rule});
    };
    if (has_begun || free_.heads.empty()) {
        counting_.end(at, fd, how, [](Exchange&) {});
        count_rule();
        return close_client(fd, own.outcome);
    }
    const std::uint32_t block = free_.heads.back();
    const std::size_t size = write_own_answer({segment_.heads[block], kHeadBytes}, before, own);
    free_.heads.pop_back();
    segment_.head_owners[block] = {at.record.cookie, size};
    FAULT_POINT("own answer, not recorded");
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
    count_rule();
    drop_upstream(before.upstream);
}

}  // namespace thole::edge
