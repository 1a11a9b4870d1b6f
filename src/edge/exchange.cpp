// One request after the other on a client's connection: read and rewrite its head, attach it, pass
// bodies on, rewrite the answer's head, and begin again. Each step commits what a successor has to
// know before the bytes that show it.
#include <sys/socket.h>

#include <algorithm>

#include "edge/worker.h"
#include "http/emit.h"
#include "model/defaults.h"

namespace thole::edge {
namespace {

constexpr int kRoundsMax = 64;  // Of one connection in one turn, so that none starves the others.

Source source_of(const Socket& socket) { return socket.has_ended ? Source::Ended : Source::Open; }

void set_flow(Flow& flow, const http::MessageHead& head, std::uint64_t in_body) {
    flow.in_body = flow.in_parsed = in_body;
    flow.in_end = in_body;
    flow.body = http::BodyDecoder(head);
    switch (head.framing) {
        case http::Framing::None: flow.framing = Framing::None; break;
        case http::Framing::Length:
            flow.framing = Framing::Length;
            flow.in_end = in_body + head.length;
            break;
        case http::Framing::Chunked:
            flow.framing = Framing::Chunked;
            flow.in_end = kUnknown;
            break;
        case http::Framing::UntilClose:
            flow.framing = Framing::UntilClose;
            flow.in_end = kUnknown;
            break;
    }
}

bool is_idempotent(std::string_view method) {
    for (const std::string_view safe : {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}) {
        if (method == safe) return true;
    }
    return false;
}

}  // namespace

void Worker::step(std::uint32_t fd) {
    for (int round = 0; round < kRoundsMax; ++round) {
        const Socket& client = runtime_.socket(fd);
        if (!client.is_open) return;
        Record& record = runtime_.record(fd);
        if (record.shut != 0) return linger(fd);
        if (client.is_broken) return close_client(fd);
        bool moved = false;
        switch (current(record).phase) {
            case Phase::Reading: moved = step_reading(fd); break;
            case Phase::Ready: moved = attach(fd) || hold(fd); break;
            case Phase::Attached: moved = step_attached(fd); break;
            case Phase::Answering: moved = step_answering(fd); break;
            case Phase::Tunnel: return tunnel(fd);
        }
        if (!moved) return;
    }
    again_.push_back(fd);
}

// No endpoint serves: the request waits until one does, or its time is over. True where too many
// wait already.
bool Worker::hold(std::uint32_t fd) {
    if (std::find(held_.begin(), held_.end(), fd) != held_.end()) return false;
    if (held_.size() >= model::kHeldRequestsMax / kWorkers) {
        answer(fd, 503, "too many requests wait for an instance of this service");
        return true;
    }
    held_.push_back(fd);
    return false;
}

bool Worker::step_reading(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Socket& client = runtime_.socket(fd);
    const std::uint64_t in_start = current(record).in_start;
    const bool was_empty = client.in == in_start;
    const bool moved = receive(fd, in_start);
    // The ten seconds for a head begin with its first byte.
    if (was_empty && client.in > in_start)
        commit(record, [&](Exchange& next) { next.begun_ns = now_ns_; });
    if (parse_request(fd)) return true;
    if (client.has_ended) {
        close_client(fd);
        return false;
    }
    if (client.in == in_start) free_ring(record);
    return moved && client.can_read;
}

bool Worker::parse_request(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Exchange& now = current(record);
    const Socket& client = runtime_.socket(fd);
    const ListenerEntry* const listener = listener_of(now);
    if (record.ring == kNone || client.in == now.in_start || listener == nullptr) return false;
    static thread_local http::RequestHead head;
    const http::HeadResult result =
        http::parse_request_head(text_of(record.ring, now.in_start, client.in), head);
    if (result.state == http::HeadState::NeedMore) return false;
    if (result.state == http::HeadState::Bad) {
        answer(fd, result.status, http::text_of(result.rule).id);
        return true;
    }
    const wire::RequestId id = id_for(head, *listener);
    std::uint32_t bytes = 0;
    const std::uint32_t block = write_request(head, fd, id, bytes);
    if (block == kNone) {
        if (!heads_.empty()) answer(fd, 431, "the request's head is too large");
        return !heads_.empty();
    }
    commit(record, [&](Exchange& next) {
        next.phase = Phase::Ready;
        next.attempts = 0;
        next.upstream = kNone;
        next.id = id;
        next.begun_ns = now_ns_;
        next.flags =
            (is_idempotent(head.method) ? kIdempotent : 0U) | (head.keep_alive ? kKeepAlive : 0U) |
            (head.method == "HEAD" ? kHeadRequest : 0U) | (head.version_minor == 0 ? kHttp10 : 0U) |
            (head.upgrade.empty() || head.upgrade == "h2c" ? 0U : kUpgradeAsked);
        set_flow(next.request, head, now.in_start + result.bytes);
        next.request.head = block;
        next.request.head_bytes = bytes;
        next.response = Flow{};
        next.response.head = kNone;
    });
    return true;
}

// Chunked bodies: how far the framing is known. False where it is broken, or in a form that may not
// be passed on.
bool Worker::advance_body(std::uint32_t fd, Flow Exchange::*which) {
    Record& record = runtime_.record(fd);
    const Exchange& now = current(record);
    const Flow& flow = now.*which;
    const bool is_request = which == &Exchange::request;
    const std::uint32_t source = is_request ? fd : now.upstream;
    const std::uint64_t in = runtime_.socket(source).in;
    if (flow.framing != Framing::Chunked || flow.in_end != kUnknown || flow.in_parsed >= in)
        return true;
    http::BodyDecoder body = flow.body;
    std::uint64_t at = flow.in_parsed;
    while (at < in && body.state() == http::BodyState::NeedMore) {
        const http::Fed fed = body.pass(text_of(runtime_.record(source).ring, at, in));
        at += fed.consumed;
        if (fed.consumed == 0) break;
    }
    if (body.state() == http::BodyState::Bad || !body.is_canonical()) return false;
    commit(record, [&](Exchange& next) {
        Flow& changed = next.*which;
        changed.body = body;
        changed.in_parsed = at;
        if (body.state() == http::BodyState::Done) changed.in_end = at;
    });
    return true;
}

bool Worker::step_attached(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const std::uint32_t up = current(record).upstream;
    Socket& upstream = runtime_.socket(up);
    bool moved = false;
    if (!is_complete(current(record).request, upstream.out, 0, Source::Open)) {
        moved = receive(fd, forwarded(current(record).request, upstream.out));
        if (!advance_body(fd, &Exchange::request)) {
            answer(fd, 400, "the body's chunks are malformed or carry extensions");
            return true;
        }
        moved = flush(current(record).request, fd, up) || moved;
        if (runtime_.socket(fd).has_ended &&
            !is_complete(current(record).request, upstream.out, 0, Source::Open) &&
            is_cut_short(current(record).request, upstream.out, runtime_.socket(fd).in,
                         Source::Ended)) {
            close_client(fd);  // The client left in the middle of its request.
            return false;
        }
    }
    moved = receive(up, current(record).upstream_in_start) || moved;
    if (parse_response(fd)) return true;
    if (upstream.has_ended || upstream.is_broken) {
        lost_upstream(fd);
        return true;
    }
    return moved;
}

bool Worker::parse_response(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Exchange& now = current(record);
    const Socket& upstream = runtime_.socket(now.upstream);
    const std::uint32_t ring = runtime_.record(now.upstream).ring;
    if (ring == kNone || upstream.in == now.upstream_in_start) return false;
    http::Asked asked;
    asked.method = (now.flags & kHeadRequest) != 0 ? "HEAD" : "GET";
    static thread_local http::RequestHead sent;
    if ((now.flags & kUpgradeAsked) != 0) {
        http::parse_request_head({segment_.heads[now.request.head], now.request.head_bytes}, sent);
        asked.upgrade = sent.upgrade;
    }
    static thread_local http::ResponseHead head;
    const http::HeadResult result =
        http::parse_response_head(text_of(ring, now.upstream_in_start, upstream.in), asked, head);
    if (result.state == http::HeadState::NeedMore) return false;
    if (result.state == http::HeadState::Bad) {
        answer(fd, 502, http::text_of(result.rule).id);
        return true;
    }
    const std::uint64_t in_body = now.upstream_in_start + result.bytes;
    if (head.status < 200 && head.status != 101 && (now.flags & kHttp10) != 0) {
        commit(record,
               [&](Exchange& next) { next.upstream_in_start = in_body; });  // Not for HTTP/1.0.
        return true;
    }
    std::uint32_t bytes = 0;
    const std::uint32_t block = write_response(head, now, bytes);
    if (block == kNone) {
        if (!heads_.empty()) answer(fd, 502, "the response's head is too large");
        return !heads_.empty();
    }
    const std::uint64_t out_start = runtime_.socket(fd).out;
    commit(record, [&](Exchange& next) {
        next.phase = head.status == 101 ? Phase::Tunnel : Phase::Answering;
        set_flow(next.response, head, in_body);
        next.response.head = block;
        next.response.head_bytes = bytes;
        next.response.out_start = out_start;
        if (head.status < 200 && head.status != 101) next.flags |= kInterim;
        if (!head.keep_alive) next.flags |= kUpstreamCloses;
        if (head.status == 101) {  // All that follows the request's head is the tunnel's.
            next.request.framing = next.response.framing = Framing::UntilClose;
            next.request.in_end = next.response.in_end = kUnknown;
        }
    });
    return true;
}

bool Worker::step_answering(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const std::uint32_t up = current(record).upstream;
    Socket& client = runtime_.socket(fd);
    bool moved = false;
    if (up != kNone) {
        Socket& upstream = runtime_.socket(up);
        // A request may still be under way while its answer comes.
        if (!is_complete(current(record).request, upstream.out, 0, Source::Open) &&
            !upstream.is_broken) {
            moved = receive(fd, forwarded(current(record).request, upstream.out));
            if (!advance_body(fd, &Exchange::request)) {
                close_client(fd);
                return false;
            }
            moved = flush(current(record).request, fd, up) || moved;
        }
        moved = receive(up, forwarded(current(record).response, client.out)) || moved;
        if (!advance_body(fd, &Exchange::response)) {
            close_client(fd);
            return false;
        }
    }
    moved = flush(current(record).response, up, fd) || moved;
    const Exchange& now = current(record);
    const std::uint64_t in = up == kNone ? 0 : runtime_.socket(up).in;
    const Source source = up == kNone ? Source::Open : source_of(runtime_.socket(up));
    if (is_complete(now.response, client.out, in, source)) {
        finish(fd);
        return runtime_.socket(fd).is_open;
    }
    if (is_cut_short(now.response, client.out, in, source)) {
        close_client(fd);  // What was promised will not come: only closing says so.
        return false;
    }
    return moved;
}

void Worker::finish(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Exchange before = current(record);
    if ((before.flags & kInterim) != 0) {
        commit(record, [&](Exchange& next) {
            next.phase = Phase::Attached;
            next.flags &= ~kInterim;
            next.upstream_in_start = before.response.in_end;
            next.response = Flow{};
            next.response.head = kNone;
        });
        heads_.push_back(before.response.head);
        return;
    }
    const std::uint32_t up = before.upstream;
    const bool request_done =
        up != kNone && is_complete(before.request, runtime_.socket(up).out, 0, Source::Open);
    const bool client_stays = (before.flags & kKeepAlive) != 0 && request_done &&
                              before.response.framing != Framing::UntilClose;
    const bool upstream_stays = request_done && (before.flags & kUpstreamCloses) == 0 &&
                                before.response.framing != Framing::UntilClose &&
                                !runtime_.socket(up).has_ended &&
                                runtime_.socket(up).in == before.response.in_end;
    if (up != kNone) {
        const auto took_us = static_cast<std::uint32_t>((now_ns_ - before.begun_ns) / 1000);
        latencies_[before.slot] = average_latency(latencies_[before.slot], took_us);
    }
    if (!client_stays) {
        // Intent first: all is passed on, and a successor only has to close.
        record.shut = 1;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        ::shutdown(static_cast<int>(fd), SHUT_WR);
        runtime_.socket(fd).since_ns = now_ns_;
        lingering_.push_back(fd);
        return;
    }
    commit(record, [&](Exchange& next) {
        next.phase = Phase::Reading;
        next.in_start = before.request.in_end;
        next.begun_ns = runtime_.socket(fd).in > before.request.in_end ? now_ns_ : 0;
        next.upstream = kNone;
        next.request.head = kNone;
        next.response.head = kNone;
    });
    heads_.push_back(before.request.head);
    heads_.push_back(before.response.head);
    if (upstream_stays) {
        put_idle(up);
    } else {
        drop_upstream(up);
    }
}

// Our end is closed; what the peer still says is read and dropped until it closes, too, or time is
// over.
void Worker::linger(std::uint32_t fd) {
    Socket& socket = runtime_.socket(fd);
    const std::int64_t since = socket.since_ns;
    while (receive(fd, socket.in) && !socket.has_ended) {}
    socket.since_ns = since;
    if (socket.has_ended) close_client(fd);
}

// The upstream is gone and no byte of an answer was passed on: again elsewhere where that is safe,
// else 502.
void Worker::lost_upstream(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Exchange& now = current(record);
    const Socket& upstream = runtime_.socket(now.upstream);
    const bool none_sent = upstream.out == now.request.out_start;
    const bool has_all = runtime_.socket(fd).in - now.request.in_body <= kRingBytes;
    const bool may_replay = none_sent || ((now.flags & kIdempotent) != 0 && has_all);
    if (!may_replay || now.attempts >= model::kAttemptsMax) {
        answer(fd, 502, "the instance went away before it answered");
        return;
    }
    const std::uint32_t gone = now.upstream;
    commit(record, [&](Exchange& next) {
        next.phase = Phase::Ready;
        next.upstream = kNone;
    });
    drop_upstream(gone);
}

void Worker::tunnel(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Exchange& now = current(record);
    const std::uint32_t up = now.upstream;
    bool moved = true;
    for (int round = 0; moved && round < kRoundsMax; ++round) {
        moved = receive(fd, forwarded(now.request, runtime_.socket(up).out));
        moved = receive(up, forwarded(now.response, runtime_.socket(fd).out)) || moved;
        moved = flush(now.request, fd, up) || moved;
        moved = flush(now.response, up, fd) || moved;
    }
    if (moved) again_.push_back(fd);
    const Socket& client = runtime_.socket(fd);
    const Socket& upstream = runtime_.socket(up);
    const bool client_done = client.has_ended && forwarded(now.request, upstream.out) == client.in;
    const bool upstream_done =
        upstream.has_ended && forwarded(now.response, client.out) == upstream.in;
    if (client.is_broken || upstream.is_broken || (client_done && upstream_done))
        return close_client(fd);
    // One side has said all; the other may go on (half-close).
    if (upstream_done && record.shut == 0 && client_done) return close_client(fd);
    if (client_done && runtime_.record(up).shut == 0) {
        runtime_.record(up).shut = 1;
        ::shutdown(static_cast<int>(up), SHUT_WR);
    }
    if (upstream_done && !client_done) return close_client(fd);
}

}  // namespace thole::edge
