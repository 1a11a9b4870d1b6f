// One request after the other on a client's connection: read and rewrite its head, attach it, pass
// bodies on, rewrite the answer's head, and begin again. Each step commits what a successor has to
// know before the bytes that show it.
#include <sys/socket.h>

#include <algorithm>

#include "edge/intake.h"
#include "edge/worker.h"
#include "http/emit.h"
#include "http/grammar.h"
#include "model/defaults.h"
#include "os/fault_point.h"

namespace thole::edge {
namespace {

constexpr int kRoundsMax = 64;  // Of one connection in one turn, so that none starves the others.

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

bool is_event_stream(const http::ResponseHead& head) {
    const http::Field* const type = head.find("content-type");
    return type != nullptr && http::has_prefix(type->value, "text/event-stream");  // 9110 8.3.1
}

bool is_websocket(const http::ResponseHead& head) {
    return http::has_prefix(head.upgrade, "websocket") && head.upgrade.size() == 9;
}

// All that follows the request's head is the tunnel's.
void begin_tunnel(Exchange& next, const http::ResponseHead& head) {
    const bool has_frames = next.request.framing == Framing::None && is_websocket(head);
    next.request.framing = next.response.framing =
        has_frames ? Framing::Frames : Framing::UntilClose;
    next.request.in_end = next.response.in_end = kUnknown;
}

std::uint32_t since_us(std::int64_t from_ns, std::int64_t now_ns) {
    return static_cast<std::uint32_t>(std::max<std::int64_t>(0, now_ns - from_ns) / 1000);
}

std::uint32_t flags_of(const http::RequestHead& head, const Wish& wish) {
    return (may_be_repeated(head) ? kIdempotent : 0U) | (head.keep_alive ? kKeepAlive : 0U) |
           (head.method == "HEAD" ? kHeadRequest : 0U) | (head.version_minor == 0 ? kHttp10 : 0U) |
           (head.upgrade.empty() ? 0U : kUpgradeAsked) |
           (wish.retries_itself ? kCallerRetries : 0U) |
           (wish.priority == Priority::Low ? kLowPriority : 0U);
}

void close_both_after(Exchange& next) { next.flags = (next.flags & ~kKeepAlive) | kUpstreamCloses; }

// What an instance was asked, as its answer is read by it.
http::Asked asked_by(const Segment& segment, const Exchange& exchange) {
    static thread_local http::RequestHead sent;
    http::Asked asked;
    asked.method = (exchange.flags & kHeadRequest) != 0 ? "HEAD" : "GET";
    if ((exchange.flags & kUpgradeAsked) == 0) return asked;
    http::parse_request_head(request_head_of(segment, exchange), sent);
    asked.upgrade = sent.upgrade;
    return asked;
}

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
        if (!has_exchange(record)) {
            if (!step_between(fd)) return;
            continue;
        }
        if (exchange(fd).deadline_ns != 0 && is_past_deadline(fd)) continue;
        if (client.is_paced && faulty_.is_cut_off(fd)) return;
        if (waits_in_vain(fd)) return close_client(fd, wire::Outcome::ClientGone);
        switch (exchange(fd).phase) {
            case Phase::Reading: moved = step_reading(fd); break;
            case Phase::Ready:
                moved = !faulty_.keeps(fd) && !entrance_.keeps(fd) && (attach(fd) || hold(fd));
                break;
            case Phase::Attached: moved = step_attached(fd); break;
            case Phase::Answering: moved = step_answering(fd); break;
            case Phase::Tunnel: tunnel(fd); break;
        }
        if (!moved) return free_empty_rings(fd);
    }
    again_.push_back(fd);
}

// Between two requests. The ten seconds for a head begin with its first byte; where the edge before
// us read that one and died, with our first look. True where an exchange has begun.
bool Worker::step_between(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Socket& client = runtime_.socket(fd);
    receive(fd, record.idle_in);
    if (client.in > record.idle_in) {
        const std::uint32_t block = free_.take_exchange();
        if (block == kNone) {
            starve(fd);
            return false;
        }
        begin_exchange(record, segment_.exchanges[block], block, now_ns_);
        return true;
    }
    free_ring(record);
    if (client.has_ended) close_client(fd, wire::Outcome::ClientGone);
    return false;
}

bool Worker::step_reading(std::uint32_t fd) {
    const Socket& client = runtime_.socket(fd);
    // What has come is looked at before more is read: most heads come as one piece.
    Heard heard = parse_request(fd);
    const bool moved = heard == Heard::Nothing && receive(fd, exchange(fd).in_start);
    if (moved) heard = parse_request(fd);
    if (heard == Heard::Something) return true;
    // It is whole, and is answered although its client says no more.
    if (heard == Heard::NoRoom) return false;
    if (client.has_ended) {
        close_client(fd, wire::Outcome::ClientGone);
        return false;
    }
    return moved && client.can_read;
}

// Why this request is not for anybody, or not now.
std::optional<Answer> Worker::refusal_of(const Record& client, const http::RequestHead& head,
                                         const RoutingResult& routed) {
    // Nothing there, too, where the edge before died while it put it in.
    if (listener_of(client) == nullptr ||
        routes_->of[client.listener_place].listener != client.listener)
        return Answer{503, wire::Outcome::Overloaded, "this address is not served any more"};
    if (client.caller == Caller::Wrong)
        return Answer{403, wire::Outcome::Refused, "EDGE-CALLER: this port is another service's"};
    if (routed.routing != Routing::Found) {
        const std::uint16_t status = routed.routing == Routing::NoRoute ? 404 : 400;
        return Answer{status, wire::Outcome::Refused, reason_of(routed.routing)};
    }
    if (const std::uint64_t most = segment_.services[routed.to.place].body_bytes_max;
        most != 0 && head.framing == http::Framing::Length && head.length > most)
        return kBodyTooLarge;
    if (is_over(free_.rings_fill(), model::kRefusePercent))
        return Answer{503, wire::Outcome::Overloaded,
                      "EDGE-OVERLOAD: too many requests are under way"};
    return std::nullopt;
}

Heard Worker::parse_request(std::uint32_t fd) {
    const ExchangeAt at = runtime_.exchange(fd);
    const Record& record = at.record;
    const Exchange& now = current(at);
    const Socket& client = runtime_.socket(fd);
    if (record.ring == kNone || client.in == now.in_start) return Heard::Nothing;
    static thread_local http::RequestHead head;
    const Taken taken =
        take_head(text_of(record.ring, now.in_start, client.in), *routes_, record.listener_place,
                  {head, {mended_.get(), http::kHeadBytesMax}});
    if (taken.state == http::HeadState::NeedMore) return Heard::Nothing;
    if (taken.state == http::HeadState::Bad) {
        answer(fd, {taken.status, wire::Outcome::Refused, http::text_of(taken.rule).id});
        return Heard::Something;
    }
    if (const std::optional<Answer> refusal = refusal_of(record, head, taken.routed)) {
        answer(fd, *refusal);
        return Heard::Something;
    }
    if (free_.heads.size() <= free_.heads_spared()) {
        starve(fd);
        return Heard::NoRoom;
    }
    char protocols[256];
    if (!head.upgrade.empty())
        head.upgrade =
            allowed_upgrade(routes_->policies[taken.routed.to.place], head.upgrade, protocols);
    const Asker by = asker_of(fd, head, routes_->of[record.listener_place]);
    Wish wish = wish_of(head, by.from, runtime_.own_via);
    wish.end_after(segment_.services[taken.routed.to.place].total_ns);
    const Written written = write_request(head, by, wish);
    if (written.block == kNone) {
        answer(fd, wish.passes > model::kPassesMax ? kLoop : kHeadTooLarge);
        return Heard::Something;
    }
    segment_.head_owners[written.block] = {record.cookie, written.bytes};
    FAULT_POINT("request's head, not recorded");
    const std::optional<std::int64_t> wished_ns = wish.in_all_ns();
    commit(at, [&](Exchange& next) {
        next.phase = Phase::Ready;
        next.attempts = 0;
        next.upstream = next.slot = kNone;
        next.service = taken.routed.to;
        next.id = by.id;
        next.head_us = since_us(next.begun_ns == 0 ? now_ns_ : next.begun_ns, now_ns_);
        next.begun_ns = next.attached_ns = now_ns_;
        next.release = next.held_us = next.status = next.tries = 0;
        next.connect_us = next.answer_us = 0;
        next.considered = 0;
        next.flags = flags_of(head, wish);
        next.due_ns = 0;
        next.sent_to = 0;
        next.deadline_ns = wished_ns ? deadline_ns(now.begun_ns, wished_ns, kTimeoutMaxNs) : 0;
        next.timeout_at = written.timeout_at;
        next.grpc_timeout_at = written.grpc_timeout_at;
        next.attempt_at = written.attempt_at;
        next.point = place_of(taken.routed.to, head);
        set_flow(next.request, head, now.in_start + taken.bytes);
        next.request.head = written.block;
        next.request.head_bytes = written.bytes;
        next.response = Flow{};
        next.response.head = kNone;
    });
    runtime_.socket(fd).body = BodyTime{};
    runtime_.socket(fd).ends_ns = 0;  // It may have been about to leave.
    taken.reported.for_each(
        [&](http::Rule rule) { refused(fd, http::text_of(rule).id, wire::RefusalKind::Reported); });
    faulty_.choose(fd, head);
    return Heard::Something;
}

bool Worker::step_attached(std::uint32_t fd) {
    const ExchangeAt at = runtime_.exchange(fd);
    const std::uint32_t up = current(at).upstream;
    Socket& upstream = runtime_.socket(up);
    const Socket& client = runtime_.socket(fd);
    const std::uint64_t before = client.in + upstream.in + upstream.out;
    if (!is_complete(current(at).request, upstream.out, 0, Source::Open)) {
        if (const BodyPassed passed = pass_request(fd); passed == BodyPassed::TooLarge) {
            answer(fd, kBodyTooLarge);
            return true;
        } else if (passed == BodyPassed::Malformed) {
            const http::RuleText& rule = http::text_of(current(at).request.body.rule());
            answer(fd, {rule.status, wire::Outcome::Refused, rule.id});
            return true;
        }
        if (client.has_ended && !is_complete(current(at).request, upstream.out, 0, Source::Open) &&
            is_cut_short(current(at).request, upstream.out, client.in, Source::Ended)) {
            // The client left in the middle of its request.
            close_client(fd, wire::Outcome::ClientGone);
            return false;
        }
    }
    receive(up, current(at).upstream_in_start);
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
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    const Socket& upstream = runtime_.socket(now.upstream);
    const std::uint32_t ring = runtime_.record(now.upstream).ring;
    if (ring == kNone || upstream.in == now.upstream_in_start) return Heard::Nothing;
    const http::Asked asked = asked_by(segment_, now);
    static thread_local http::ResponseHead head;
    const http::HeadResult result =
        http::parse_response_head(text_of(ring, now.upstream_in_start, upstream.in), asked, head);
    if (result.state == http::HeadState::NeedMore) return Heard::Nothing;
    if (result.state == http::HeadState::Bad) {
        tried(fd, Try::Failed);
        answer(fd, {502, wire::Outcome::Reset, http::text_of(result.rule).id});
        return Heard::Something;
    }
    const std::uint64_t in_body = now.upstream_in_start + result.bytes;
    if (head.status < 200 && head.status != 101 && (now.flags & kHttp10) != 0) {  // Not for 1.0.
        commit(at, [&](Exchange& next) { next.upstream_in_start = in_body; });
        return Heard::Something;
    }
    if (head.status >= 200 && judge(fd, head)) return Heard::Something;
    // It comes before the whole request was sent: the rest has no use, and would be taken for the
    // next request, by us and by the instance.
    const bool is_early =
        head.status >= 200 && !is_complete(now.request, upstream.out, 0, Source::Open);
    if (is_early) commit(at, close_both_after);
    // Who speaks HTTP/1.0 reads no chunks: gets their data, and the end of the connection.
    const bool is_unchunked = head.framing == http::Framing::Chunked && (now.flags & kHttp10) != 0;
    const bool is_tight = ends_keep_alive(runtime_.descriptors_fill(), free_.rings_fill());
    if (is_unchunked || (is_tight && head.status >= 200))
        commit(at, [](Exchange& next) { next.flags &= ~kKeepAlive; });
    const Written written = write_response(head, current(at));
    if (written.block == kNone) {
        if (free_.heads.empty()) {
            starve(fd);
            return Heard::NoRoom;
        }
        answer(fd, {502, wire::Outcome::Reset, "the response's head is too large"});
        return Heard::Something;
    }
    if (const http::Field* const said = head.find(http::Known::KeepAlive); said != nullptr)
        endpoints_.at(now.slot).keep_alive.told(said->value);
    const std::uint64_t out_start = runtime_.socket(fd).out;
    // It is whole where it ends: until all of it is passed on, no close may look like its end.
    if ((head.framing == http::Framing::UntilClose && head.status != 101) || is_unchunked)
        set_closing(static_cast<int>(fd), Closing::Reset);
    segment_.head_owners[written.block] = {at.record.cookie, written.bytes};
    FAULT_POINT("answer's head, not recorded");
    commit(at, [&](Exchange& next) {
        next.status = head.status;
        // On a connection from the pool there was nothing to wait for.
        next.connect_us = since_us(next.attached_ns, upstream.made_ns);
        next.answer_us = since_us(next.attached_ns, now_ns_);
        if (is_event_stream(head)) next.flags |= kEventStream;
        next.phase = head.status == 101 ? Phase::Tunnel : Phase::Answering;
        set_flow(next.response, head, in_body);
        if (is_unchunked) next.response.body.leave_out_framing();
        next.response.head = written.block;
        next.response.head_bytes = written.bytes;
        next.response.out_start = out_start;
        if (head.status < 200 && head.status != 101) next.flags |= kInterim;
        if (!head.keep_alive) next.flags |= kUpstreamCloses;
        if (head.status == 101) begin_tunnel(next, head);
    });
    if (lasts(current(at))) entrance_.give_back(runtime_.socket(current(at).upstream));
    return Heard::Something;
}

bool Worker::step_answering(std::uint32_t fd) {
    const ExchangeAt at = runtime_.exchange(fd);
    const std::uint32_t up = current(at).upstream;
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
        if (!is_complete(current(at).request, upstream.out, 0, Source::Open) &&
            !upstream.is_broken && !upstream.has_ended && pass_request(fd) != BodyPassed::Well) {
            const http::Rule rule = current(at).request.body.rule();
            refused(fd, rule == http::Rule::None ? kBodyLarge : http::text_of(rule).id);
            close_client(fd, wire::Outcome::Refused);
            return false;
        }
        receive(up, wanted_from(current(at).response, client.out, upstream.in));
        if (client.ends_ns != 0 && now_ns_ >= client.ends_ns) end_events(fd);
        if (!pass_on(fd, &Exchange::response)) return refuse_response(fd);
    } else {
        flush(current(at).response, up, fd);
    }
    const Exchange& now = current(at);
    const std::uint64_t in = up == kNone ? 0 : runtime_.socket(up).in;
    const Source source = up == kNone ? Source::Open : source_of(runtime_.socket(up));
    // It may be broken, and have ended well: the rest of the request is answered by a reset.
    const bool was_reset = up != kNone && runtime_.socket(up).was_reset &&
                           source == Source::Ended && now.response.framing == Framing::UntilClose &&
                           now.response.tail == Tail::None;
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
    const ExchangeAt at = runtime_.exchange(fd);
    // The half that counts until the one commit that is made here; afterwards it stays as it is.
    const Exchange& before = current(at);
    if ((before.flags & kInterim) != 0) {
        commit(at, [&](Exchange& next) {
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
    const End how = end_as(fd, outcome_of(before.status));
    if (client_stays) {
        next_request(fd, how);
    } else {
        if (ends_with_connection(before.response)) set_closing(static_cast<int>(fd), Closing::End);
        // Intent first: all is passed on, and a successor only has to close.
        at.record.shut = kShutWhole;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        FAULT_POINT("finish, intended");
        counting_.end(at, fd, how, [](Exchange& next) {
            next.upstream = kNone;
            next.request.head = next.response.head = kNone;
        });
        free_head(before.request.head);
        free_head(before.response.head);
        FAULT_POINT("finish, not said");
        ::shutdown(static_cast<int>(fd), SHUT_WR);
        FAULT_POINT("finish, said");
        runtime_.socket(fd).since_ns = now_ns_;
        lingering_.push_back(fd);
    }
    FAULT_POINT("finish, its instance still busy");
    if (upstream_stays) {
        put_idle(up);
    } else {
        drop_upstream(up);
    }
}

void Worker::next_request(std::uint32_t fd, const End& how) {
    const ExchangeAt at = runtime_.exchange(fd);
    const std::uint32_t block = block_of(at.record);
    const std::uint32_t heads[] = {current(at).request.head, current(at).response.head};
    counting_.end_whole(at, fd, how);
    free_.exchanges.push_back(block);
    runtime_.socket(fd).ends_ns = 0;  // It was of this exchange.
    for (const std::uint32_t head : heads) free_head(head);
}

}  // namespace thole::edge
