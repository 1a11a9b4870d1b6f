// One request after the other on a client's connection: read and rewrite its head, attach it, pass
// bodies on, rewrite the answer's head, and begin again. Each step commits what a successor has to
// know before the bytes that show it.
#include <sys/socket.h>

#include <algorithm>

#include "edge/worker.h"
#include "http/emit.h"
#include "http/grammar.h"
#include "model/defaults.h"

namespace thole::edge {
namespace {

constexpr int kRoundsMax = 64;  // Of one connection in one turn, so that none starves the others.
constexpr int kWritesMax = 16;  // Each way in one round; more only where chunks are split.

Source source_of(const Socket& socket) { return socket.has_ended ? Source::Ended : Source::Open; }

void set_flow(Flow& flow, const http::MessageHead& head, std::uint64_t in_body) {
    flow.in_body = flow.in_parsed = in_body;
    flow.left_out = 0;
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

bool is_event_stream(const http::ResponseHead& head) {
    const http::Field* const type = head.find("content-type");
    return type != nullptr && http::has_prefix(type->value, "text/event-stream");  // 9110 8.3.1
}

void close_both_after(Exchange& next) { next.flags = (next.flags & ~kKeepAlive) | kUpstreamCloses; }

}  // namespace

void Worker::step(std::uint32_t fd) {
    for (int round = 0; round < kRoundsMax; ++round) {
        if (!is_own_client(fd)) return;  // Closed: the number may be another worker's by now.
        const Socket& client = runtime_.socket(fd);
        Record& record = runtime_.record(fd);
        if (record.shut == kShutWhole) return linger(fd);
        if (client.is_poison) return give_up(fd);
        if (client.is_broken) return close_client(fd, wire::Outcome::ClientGone);
        bool moved = false;
        switch (current(record).phase) {
            case Phase::Reading: moved = step_reading(fd); break;
            case Phase::Ready: moved = attach(fd) || hold(fd); break;
            case Phase::Attached: moved = step_attached(fd); break;
            case Phase::Answering: moved = step_answering(fd); break;
            case Phase::Tunnel: tunnel(fd); break;
        }
        if (!moved) return free_empty_rings(fd);
    }
    again_.push_back(fd);
}

bool Worker::step_reading(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Socket& client = runtime_.socket(fd);
    const std::uint64_t in_start = current(record).in_start;
    const bool moved = receive(fd, in_start);
    // The ten seconds for a head begin with its first byte; where the edge before us read that one
    // and died, with our first look.
    if (client.in > in_start && current(record).begun_ns == 0)
        commit(record, [&](Exchange& next) { next.begun_ns = now_ns_; });
    const Heard heard = parse_request(fd);
    if (heard == Heard::Something) return true;
    // It is whole, and is answered although its client says no more.
    if (heard == Heard::NoRoom) return false;
    if (client.has_ended) {
        close_client(fd, wire::Outcome::ClientGone);
        return false;
    }
    if (client.in == in_start) free_ring(record);
    return moved && client.can_read;
}

Heard Worker::parse_request(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Exchange& now = current(record);
    const Socket& client = runtime_.socket(fd);
    const ListenerEntry* const listener = listener_of(now);
    if (record.ring == kNone || client.in == now.in_start) return Heard::Nothing;
    static thread_local http::RequestHead head;
    const http::HeadResult result =
        http::parse_request_head(text_of(record.ring, now.in_start, client.in), head);
    if (result.state == http::HeadState::NeedMore) return Heard::Nothing;
    if (result.state == http::HeadState::Bad) {
        answer(fd, {result.status, wire::Outcome::Refused, http::text_of(result.rule).id});
        return Heard::Something;
    }
    if (listener == nullptr) {
        answer(fd, {503, wire::Outcome::Overloaded, "this address is not served any more"});
        return Heard::Something;
    }
    if (record.caller == Caller::Wrong) {
        answer(fd, {403, wire::Outcome::Refused, "this port is another service's"});
        return Heard::Something;
    }
    if (heads_.size() <= kSpared) {
        starve(fd);
        return Heard::NoRoom;
    }
    char protocols[256];
    head.upgrade = http::without_h2c(head.upgrade, protocols);
    const wire::RequestId id = id_for(head, *listener);
    std::uint32_t bytes = 0;
    const std::uint32_t block = write_request(head, fd, id, bytes);
    if (block == kNone) {
        answer(fd, {431, wire::Outcome::Refused, "the request's head is too large"});
        return Heard::Something;
    }
    commit(record, [&](Exchange& next) {
        next.phase = Phase::Ready;
        next.attempts = 0;
        next.upstream = next.slot = kNone;
        next.id = id;
        next.begun_ns = next.attached_ns = now_ns_;
        next.release = next.held_us = next.status = 0;
        next.flags =
            (is_idempotent(head.method) ? kIdempotent : 0U) | (head.keep_alive ? kKeepAlive : 0U) |
            (head.method == "HEAD" ? kHeadRequest : 0U) | (head.version_minor == 0 ? kHttp10 : 0U) |
            (head.upgrade.empty() ? 0U : kUpgradeAsked);
        set_flow(next.request, head, now.in_start + result.bytes);
        next.request.head = block;
        next.request.head_bytes = bytes;
        next.response = Flow{};
        next.response.head = kNone;
    });
    return Heard::Something;
}

// Chunked bodies: how far the framing is known. False where it is broken.
bool Worker::advance_body(std::uint32_t fd, Flow Exchange::*which) {
    Record& record = runtime_.record(fd);
    const Exchange& now = current(record);
    const Flow& before = now.*which;
    const bool is_request = which == &Exchange::request;
    const std::uint32_t source = is_request ? fd : now.upstream;
    const std::uint64_t in = runtime_.socket(source).in;
    if (before.framing != Framing::Chunked) return true;
    // Also behind the last byte something may be left out as soon as all before it is written.
    if ((before.in_end != kUnknown || before.in_parsed >= in) && before.left_out == 0) return true;
    const std::uint64_t out = runtime_.socket(is_request ? now.upstream : fd).out;
    Flow flow = before;
    std::uint64_t begun = 0;
    do {
        begun = flow.in_parsed;
        // Not beyond the ring's end: what wraps is parsed in two steps, and not copied.
        const std::uint64_t wrap = begun - begun % kRingBytes + kRingBytes;
        if (!advance(flow, out, text_of(runtime_.record(source).ring, begun, std::min(in, wrap))))
            return false;
    } while (flow.in_parsed != begun && flow.in_parsed < in && flow.in_end == kUnknown);
    if (flow.in_parsed == before.in_parsed && flow.in_body == before.in_body) return true;
    commit(record, [&](Exchange& next) {
        // What has been sent before the bytes left out can no more be found from in_body.
        const bool is_begin_lost =
            is_request && flow.in_body != (next.*which).in_body && out > flow.out_start;
        if (is_begin_lost) next.flags &= ~kIdempotent;
        next.*which = flow;
    });
    return true;
}

// Writes what may be passed on; what is left out splits it into several writes, of which one call
// makes a few. False where the chunks are broken.
bool Worker::pass_on(std::uint32_t fd, Flow Exchange::*which) {
    const Record& record = runtime_.record(fd);
    const std::uint32_t up = current(record).upstream;
    const bool is_request = which == &Exchange::request;
    for (int writes = 0; writes < kWritesMax; ++writes) {
        if (!advance_body(fd, which)) return false;
        if (!flush(current(record).*which, is_request ? fd : up, is_request ? up : fd) ||
            (current(record).*which).left_out == 0)
            return true;
    }
    // Else there would seem to be no more.
    return advance_body(fd, which);
}

// Passes on what has come of the request. False where its chunks are broken.
bool Worker::pass_request(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const std::uint32_t up = current(record).upstream;
    receive(fd, forwarded(current(record).request, runtime_.socket(up).out));
    return pass_on(fd, &Exchange::request);
}

bool Worker::step_attached(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const std::uint32_t up = current(record).upstream;
    Socket& upstream = runtime_.socket(up);
    const Socket& client = runtime_.socket(fd);
    const std::uint64_t before = client.in + upstream.in + upstream.out;
    if (!is_complete(current(record).request, upstream.out, 0, Source::Open)) {
        if (!pass_request(fd)) {
            answer(fd, {400, wire::Outcome::Refused, "the body's chunks are malformed"});
            return true;
        }
        if (client.has_ended &&
            !is_complete(current(record).request, upstream.out, 0, Source::Open) &&
            is_cut_short(current(record).request, upstream.out, client.in, Source::Ended)) {
            // The client left in the middle of its request.
            close_client(fd, wire::Outcome::ClientGone);
            return false;
        }
    }
    receive(up, current(record).upstream_in_start);
    const Heard heard = parse_response(fd);
    if (heard == Heard::Something) return true;
    // It has answered, and must not be asked again, however it goes on; nor anybody else.
    if (heard == Heard::NoRoom) return false;
    // One that is broken may still have said more than was read at once.
    const bool is_mute = !upstream.can_read || upstream.is_connecting;
    if (upstream.has_ended || (upstream.is_broken && is_mute)) {
        lost_upstream(fd);
        return true;
    }
    return client.in + upstream.in + upstream.out != before;
}

Heard Worker::parse_response(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Exchange& now = current(record);
    const Socket& upstream = runtime_.socket(now.upstream);
    const std::uint32_t ring = runtime_.record(now.upstream).ring;
    if (ring == kNone || upstream.in == now.upstream_in_start) return Heard::Nothing;
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
    if (result.state == http::HeadState::NeedMore) return Heard::Nothing;
    if (result.state == http::HeadState::Bad) {
        answer(fd, {502, wire::Outcome::Reset, http::text_of(result.rule).id});
        return Heard::Something;
    }
    const std::uint64_t in_body = now.upstream_in_start + result.bytes;
    if (head.status < 200 && head.status != 101 && (now.flags & kHttp10) != 0) {
        commit(record,
               [&](Exchange& next) { next.upstream_in_start = in_body; });  // Not for HTTP/1.0.
        return Heard::Something;
    }
    // It comes before the whole request was sent: the rest has no use, and would be taken for the
    // next request, by us and by the instance.
    const bool is_early =
        head.status >= 200 && !is_complete(now.request, upstream.out, 0, Source::Open);
    if (is_early) commit(record, close_both_after);
    // Who speaks HTTP/1.0 reads no chunks: gets their data, and the end of the connection.
    const bool is_unchunked = head.framing == http::Framing::Chunked && (now.flags & kHttp10) != 0;
    if (is_unchunked) commit(record, [](Exchange& next) { next.flags &= ~kKeepAlive; });
    std::uint32_t bytes = 0;
    const std::uint32_t block = write_response(head, current(record), bytes);
    if (block == kNone) {
        if (heads_.empty()) {
            starve(fd);
            return Heard::NoRoom;
        }
        answer(fd, {502, wire::Outcome::Reset, "the response's head is too large"});
        return Heard::Something;
    }
    if (const http::Field* const said = head.find("keep-alive"); said != nullptr)
        slots_[now.slot].keep_alive.told(said->value);
    const std::uint64_t out_start = runtime_.socket(fd).out;
    // It is whole where it ends: until all of it is passed on, no close may look like its end.
    if ((head.framing == http::Framing::UntilClose && head.status != 101) || is_unchunked)
        set_closing(static_cast<int>(fd), Closing::Reset);
    commit(record, [&](Exchange& next) {
        next.status = head.status;
        if (is_event_stream(head)) next.flags |= kEventStream;
        next.phase = head.status == 101 ? Phase::Tunnel : Phase::Answering;
        set_flow(next.response, head, in_body);
        if (is_unchunked) next.response.body.leave_out_framing();
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
    return Heard::Something;
}

bool Worker::step_answering(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const std::uint32_t up = current(record).upstream;
    const Socket& client = runtime_.socket(fd);
    const auto progress = [&] {
        const std::uint64_t above =
            up == kNone ? 0 : runtime_.socket(up).in + runtime_.socket(up).out;
        return client.in + client.out + above;
    };
    const std::uint64_t before = progress();
    if (up != kNone) {
        Socket& upstream = runtime_.socket(up);
        // A request may still be under way while its answer comes.
        if (!is_complete(current(record).request, upstream.out, 0, Source::Open) &&
            !upstream.is_broken && !upstream.has_ended && !pass_request(fd)) {
            close_client(fd, wire::Outcome::Refused);
            return false;
        }
        receive(up, forwarded(current(record).response, client.out));
        if (!pass_on(fd, &Exchange::response)) {
            close_client(fd, wire::Outcome::Reset);
            return false;
        }
    } else {
        flush(current(record).response, up, fd);
    }
    const Exchange& now = current(record);
    const std::uint64_t in = up == kNone ? 0 : runtime_.socket(up).in;
    const Source source = up == kNone ? Source::Open : source_of(runtime_.socket(up));
    // It may be broken, and have ended well: the rest of the request is answered by a reset.
    const bool was_reset = up != kNone && runtime_.socket(up).was_reset &&
                           source == Source::Ended && now.response.framing == Framing::UntilClose;
    if (!was_reset && is_complete(now.response, client.out, in, source)) {
        finish(fd);
        return runtime_.socket(fd).is_open;
    }
    if (is_cut_short(now.response, client.out, in, source) ||
        (was_reset && forwarded(now.response, client.out) == in)) {
        // What was promised will not come: only closing says so.
        close_client(fd, wire::Outcome::Reset);
        return false;
    }
    return progress() != before;
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
        free_head(before.response.head);
        return;
    }
    const std::uint32_t up = before.upstream;
    const bool request_done =
        up != kNone && is_complete(before.request, runtime_.socket(up).out, 0, Source::Open);
    const bool client_stays =
        (before.flags & kKeepAlive) != 0 && request_done && !ends_with_connection(before.response);
    // What it has said beside the answer is not told again while it is idle: also that it ends.
    const bool upstream_stays =
        request_done && (before.flags & kUpstreamCloses) == 0 && !runtime_.socket(up).can_read &&
        before.response.framing != Framing::UntilClose && !runtime_.socket(up).has_ended &&
        !runtime_.socket(up).is_broken && runtime_.socket(up).in == before.response.in_end;
    if (up != kNone) {
        const auto took_us = static_cast<std::uint32_t>((now_ns_ - before.attached_ns) / 1000);
        slots_[before.slot].latency_us = average_latency(slots_[before.slot].latency_us, took_us);
    }
    const End how{outcome_of(before.status), now_ns_, request_head_of(segment_, before)};
    if (client_stays) {
        next_request(fd, how);
    } else {
        if (ends_with_connection(before.response)) set_closing(static_cast<int>(fd), Closing::End);
        // Intent first: all is passed on, and a successor only has to close.
        record.shut = kShutWhole;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        counting_.end(record, fd, how, [](Exchange& next) {
            next.upstream = kNone;
            next.request.head = next.response.head = kNone;
        });
        free_head(before.request.head);
        free_head(before.response.head);
        ::shutdown(static_cast<int>(fd), SHUT_WR);
        runtime_.socket(fd).since_ns = now_ns_;
        lingering_.push_back(fd);
    }
    if (upstream_stays) {
        put_idle(up);
    } else {
        drop_upstream(up);
    }
}

void Worker::next_request(std::uint32_t fd, const End& how) {
    Record& record = runtime_.record(fd);
    const std::uint32_t heads[] = {current(record).request.head, current(record).response.head};
    const bool has_more = runtime_.socket(fd).in > current(record).request.in_end;
    counting_.end(record, fd, how, [&](Exchange& next) {
        next.phase = Phase::Reading;
        next.in_start = next.request.in_end;
        next.begun_ns = has_more ? now_ns_ : 0;
        next.flags = next.attempts = 0;
        next.upstream = next.slot = kNone;
        next.request.head = next.response.head = kNone;
    });
    for (const std::uint32_t head : heads) free_head(head);
}

// Nothing of it may have been executed, or doing it twice is no harm; and all of it is still here.
bool Worker::may_replay(std::uint32_t fd) {
    const Exchange& now = current(runtime_.record(fd));
    const bool none_sent = runtime_.socket(now.upstream).out == now.request.out_start;
    const bool has_all = runtime_.socket(fd).in - now.request.in_body <= kRingBytes;
    return (none_sent || ((now.flags & kIdempotent) != 0 && has_all)) &&
           now.attempts < model::kAttemptsMax;
}

void Worker::replay(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Exchange& now = current(record);
    const std::uint32_t gone = now.upstream;
    const Socket& upstream = runtime_.socket(gone);
    // When an instance dies all its connections in the pool are dead at once; each would cost an
    // attempt. A new one is refused, and that is none: then the wait before it goes on.
    const std::uint32_t fresh = upstream.was_reused ? std::uint32_t{kFresh} : 0;
    const bool was_attempt = upstream.was_reused || upstream.out != now.request.out_start;
    const std::int64_t since_ns =
        (was_attempt ? now_ns_ : now.attached_ns) - std::int64_t{now.held_us} * 1000;
    counting_.replay(record, fd, [&](Exchange& next) {
        next.phase = Phase::Ready;
        next.upstream = kNone;
        next.attached_ns = since_ns;
        next.flags |= fresh;
    });
    drop_upstream(gone);
}

// The upstream is gone and no byte of an answer was passed on: again elsewhere where that is safe,
// else 502.
void Worker::lost_upstream(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Exchange& now = current(record);
    const Socket& upstream = runtime_.socket(now.upstream);
    const bool none_sent = upstream.out == now.request.out_start;
    if (none_sent && !upstream.was_reused) {
        // It never took the connection: that was no attempt.
        refused(now.slot);
        commit(record, [](Exchange& next) { next.attempts -= 1; });
        return replay(fd);
    }
    if (may_replay(fd)) return replay(fd);
    if (none_sent) {
        answer(fd, {502, wire::Outcome::ConnectFailed, "no instance took the request"});
    } else {
        answer(fd, {502, wire::Outcome::Reset, "the instance went away before it answered"});
    }
}

}  // namespace thole::edge
