// How long-lived connections end where their instance leaves: not all at one instant, so that those
// who come back do not come at one, and each in a way that its client knows. A WebSocket's client
// is told in a frame of its own (RFC 6455 section 7.4.1: 1001, going away), at a border between two
// frames; what it says until it answers still reaches the instance, and so does its answer. A
// stream of events ends as a whole answer, after an event; who listens asks again by itself (HTML
// standard, section 9.2). Of any other protocol both sides are told that no more comes. Whoever
// does not end by that stays until the instance's time is over, and is cut.
#include <algorithm>

#include "edge/frames.h"
#include "edge/worker.h"
#include "model/defaults.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kAnswerNs = model::kCloseAnswerLimit.count();
// An event that comes in pieces has no longer pauses: a border at which nothing came for so long is
// taken for one between two events.
constexpr std::int64_t kQuietNs = 200'000'000;

// The last moment leaves time for the answer.
std::int64_t spread_of(std::int64_t left_ns) {
    return std::max<std::int64_t>(0, left_ns - std::min(left_ns / 2, kAnswerNs));
}

// An empty line ends an event, whichever of the three ends its lines have.
bool ends_event(std::string_view text) {
    for (const std::string_view mark : {"\n\n", "\r\r", "\r\n\r\n"}) {
        if (text.size() >= mark.size() && text.substr(text.size() - mark.size()) == mark)
            return true;
    }
    return false;
}

}  // namespace

void Worker::begin_drain(const wire::DrainRequest& request) {
    EndpointState& endpoint = endpoints_.at(request.at.slot);
    endpoint.drained = request.at.generation;
    endpoint.drained_by_ns = now_ns_ + request.within_ns;
    for (const std::uint32_t fd : clients_) {
        if (!has_exchange(runtime_.record(fd)) || exchange(fd).upstream == kNone) continue;
        const Exchange& now = exchange(fd);
        if (now.slot == request.at.slot && now.generation == request.at.generation)
            runtime_.socket(fd).ends_ns = 0;
    }
}

// Gives each that lasts its moment, and looks at it again after that until it has ended.
void Worker::drain(std::uint32_t fd) {
    const Exchange& now = exchange(fd);
    if (now.upstream == kNone || !lasts(now)) return;
    const EndpointState& endpoint = endpoints_.at(now.slot);
    const EndpointEntry& entry = segment_.endpoints[now.slot];
    const bool serves = entry.bits == 0 && entry.generation == now.generation;
    if (endpoint.drained != now.generation || serves) return;
    Socket& client = runtime_.socket(fd);
    if (client.ends_ns == 0) {
        const auto spread = static_cast<std::uint64_t>(spread_of(endpoint.drained_by_ns - now_ns_));
        const bool is_told = now.response.tail != Tail::None;
        client.ends_ns =
            now_ns_ + (is_told ? 0 : static_cast<std::int64_t>(random_.below(spread + 1)));
        alarms_.set(fd, client.alarm_ns, client.ends_ns);
    }
    if (now_ns_ >= client.ends_ns) again_.push_back(fd);
}

// First its client is told, if it is a WebSocket's. Where it has not answered after a while, or
// nobody can be told, no more is passed on to the instance either.
void Worker::end_tunnel(std::uint32_t fd) {
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    const Socket& client = runtime_.socket(fd);
    const bool has_frames = now.response.framing == Framing::Frames;
    const bool is_told = now.response.tail != Tail::None;
    const bool may_answer = now_ns_ - client.ends_ns < kAnswerNs &&
                            (has_frames || now.request.framing == Framing::Frames);
    const bool ends_request = now.request.tail == Tail::None && !may_answer;
    if (is_told && !ends_request) return;
    const std::uint64_t in = runtime_.socket(now.upstream).in;
    commit(at, [&](Exchange& next) {
        if (!is_told)
            end_at(next.response, has_frames ? next.response.in_parsed : in,
                   has_frames ? Tail::CloseToClient : Tail::Nothing);
        if (!ends_request) return;
        const bool is_frame = next.request.framing == Framing::Frames;
        end_at(next.request, is_frame ? next.request.in_parsed : client.in,
               is_frame ? Tail::CloseToInstance : Tail::Nothing);
    });
}

// Ends the stream where that is between two events and between two chunks; else it is looked for
// again when more has come.
void Worker::end_events(std::uint32_t fd) {
    if (!lasts(exchange(fd)) || !advance_body(fd, &Exchange::response)) return;
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    const Flow& flow = now.response;
    const Socket& upstream = runtime_.socket(now.upstream);
    const bool is_chunked = flow.framing == Framing::Chunked;
    if (flow.in_end != kUnknown || upstream.has_ended) return;
    if (is_chunked && !flow.body.is_between_chunks()) return;
    const std::uint64_t out = runtime_.socket(fd).out;
    const std::uint64_t passed = forwarded(flow, out), border = limit_of(flow, upstream.in);
    const bool is_quiet =
        passed == border && head_left(flow, out) == 0 && now_ns_ - upstream.since_ns >= kQuietNs;
    const bool has_framing = is_chunked && !flow.body.leaves_out_framing();
    if (!is_quiet) {
        if (passed == border) return;
        // No further back than what is not passed on: the rest may be overwritten.
        const std::uint64_t from = border - std::min<std::uint64_t>(border - passed, 6);
        std::string_view last = text_of(runtime_.record(now.upstream).ring, from, border);
        if (has_framing) last.remove_suffix(std::min<std::size_t>(last.size(), 2));
        if (!ends_event(last)) return;
    }
    commit(at, [&](Exchange& next) {
        end_at(next.response, border, has_framing ? Tail::LastChunk : Tail::Nothing);
        next.flags |= kUpstreamCloses;
    });
}

// How far the frames are known; no further where one closes, or what comes is none.
void Worker::follow_frames(std::uint32_t fd, Flow Exchange::*which) {
    const ExchangeAt at = runtime_.exchange(fd);
    const Flow& flow = current(at).*which;
    const bool is_request = which == &Exchange::request;
    const std::uint32_t from = is_request ? fd : current(at).upstream;
    const Socket& source = runtime_.socket(from);
    if (flow.framing != Framing::Frames || flow.tail != Tail::None) return;
    std::uint64_t parsed = flow.in_parsed;
    bool goes_on = true;
    while (goes_on && parsed < source.in) {
        const std::uint64_t to = std::min(source.in, parsed + kFrameHeaderMax);
        const Frame frame = read_frame(text_of(runtime_.record(from).ring, parsed, to),
                                       is_request ? Sender::Client : Sender::Server);
        if (frame.kind == Frame::Kind::NeedMore && !source.has_ended) break;
        goes_on = frame.kind == Frame::Kind::Data;
        if (goes_on) parsed += frame.bytes;
    }
    if (goes_on && parsed == flow.in_parsed) return;
    commit(at, [&](Exchange& next) {
        (next.*which).in_parsed = parsed;
        if (!goes_on) (next.*which).framing = Framing::UntilClose;
    });
}

// Idle, and its port is served no more. One more request may be on its way, and is answered; only
// then it is closed, and not before what has been said was read: that would be a reset.
void Worker::leave_idle(std::uint32_t fd) {
    Socket& client = runtime_.socket(fd);
    constexpr std::int64_t kLeaveNs = model::kIdleLeaveDelay.count();
    if (client.ends_ns == 0)
        client.ends_ns =
            now_ns_ + kLeaveNs + static_cast<std::int64_t>(random_.below(std::uint64_t{kLeaveNs}));
    if (now_ns_ >= client.ends_ns) shut_whole(fd);
}

}  // namespace thole::edge
