#include "edge/flow.h"

#include <algorithm>

namespace thole::edge {
namespace {

// RFC 6455 section 5.5.1: a control frame that is final, the status 1001 ("going away"), a reason.
// To a client it may not be masked, to an instance it must be, and a mask of zeros is one: what it
// has to hide are bytes that somebody else has chosen.
constexpr std::string_view kCloseToClient{"\x88\x0c\x03\xe9going away", 14};
constexpr std::string_view kCloseToInstance{"\x88\x8c\0\0\0\0\x03\xe9going away", 18};

std::string_view text_of(Tail tail) {
    switch (tail) {
        case Tail::None:
        case Tail::Nothing: return {};
        case Tail::LastChunk: return "0\r\n\r\n";
        case Tail::CloseToClient: return kCloseToClient;
        case Tail::CloseToInstance: return kCloseToInstance;
    }
    return {};
}

}  // namespace

std::uint64_t forwarded(const Flow& flow, std::uint64_t out) {
    const std::uint64_t body_out = flow.out_start + flow.head_bytes;
    const std::uint64_t passed = out <= body_out ? flow.in_body : flow.in_body + (out - body_out);
    return flow.tail == Tail::None ? passed : std::min(passed, flow.in_end);
}

std::uint64_t wanted_from(const Flow& flow, std::uint64_t out, std::uint64_t in) {
    const std::uint64_t passed = forwarded(flow, out);
    return flow.tail != Tail::None && passed == flow.in_end ? std::max(passed, in) : passed;
}

std::string_view tail_left(const Flow& flow, std::uint64_t out) {
    if (flow.tail == Tail::None) return {};
    const std::string_view tail = text_of(flow.tail);
    const std::uint64_t tail_out = flow.out_start + flow.head_bytes + (flow.in_end - flow.in_body);
    if (tail.empty() || out <= tail_out) return tail;
    return tail.substr(std::min<std::uint64_t>(out - tail_out, tail.size()));
}

void end_at(Flow& flow, std::uint64_t in_end, Tail tail) {
    flow.in_end = flow.in_parsed = in_end;
    flow.left_out = 0;
    flow.tail = tail;
}

std::uint32_t head_left(const Flow& flow, std::uint64_t out) {
    const std::uint64_t written = out - flow.out_start;
    return written >= flow.head_bytes ? 0 : flow.head_bytes - static_cast<std::uint32_t>(written);
}

std::uint64_t limit_of(const Flow& flow, std::uint64_t in) {
    switch (flow.framing) {
        case Framing::None: return flow.in_body;
        case Framing::Length: return std::min(in, flow.in_end);
        case Framing::Chunked: return flow.in_parsed - flow.left_out;
        case Framing::UntilClose: return std::min(in, flow.in_end);
        case Framing::Frames: return std::min(in, flow.in_parsed);
    }
    return flow.in_body;
}

bool advance(Flow& flow, std::uint64_t out, std::string_view bytes) {
    const auto skip = [&] {
        if (forwarded(flow, out) != flow.in_parsed - flow.left_out) return;
        flow.in_body += flow.left_out;
        flow.left_out = 0;
    };
    skip();
    while (!bytes.empty() && flow.in_end == kUnknown) {
        const http::BodyDecoder before = flow.body;
        const http::Fed fed = flow.body.pass(bytes);
        if (fed.state == http::BodyState::Bad) return false;
        const bool is_left_out = fed.piece.empty();
        if (!is_left_out && flow.left_out > 0) {
            flow.body = before;
            return true;
        }
        flow.in_parsed += fed.consumed;
        if (is_left_out) flow.left_out += static_cast<std::uint32_t>(fed.consumed);
        if (fed.state == http::BodyState::Done) flow.in_end = flow.in_parsed;
        bytes.remove_prefix(fed.consumed);
        skip();
    }
    return true;
}

bool ends_with_connection(const Flow& flow) {
    return flow.framing == Framing::UntilClose ||
           (flow.framing == Framing::Chunked && flow.body.leaves_out_framing());
}

bool is_complete(const Flow& flow, std::uint64_t out, std::uint64_t in, Source source) {
    if (head_left(flow, out) > 0) return false;
    const std::uint64_t passed = forwarded(flow, out);
    if (flow.tail != Tail::None) return passed == flow.in_end && tail_left(flow, out).empty();
    if (flow.framing == Framing::UntilClose || flow.framing == Framing::Frames)
        return source == Source::Ended && passed == in;
    return flow.in_end != kUnknown && passed == flow.in_end;
}

bool is_cut_short(const Flow& flow, std::uint64_t out, std::uint64_t in, Source source) {
    if (source == Source::Open || flow.framing == Framing::UntilClose) return false;
    const bool more_to_come = flow.in_end == kUnknown || in < flow.in_end;
    return more_to_come && forwarded(flow, out) == limit_of(flow, in);
}

bool holds(const Flow& flow, std::uint64_t out, std::uint64_t in, std::uint32_t ring_bytes) {
    if (out < flow.out_start || in < flow.in_body) return false;
    if (flow.in_end != kUnknown && flow.in_end < flow.in_body) return false;
    if (flow.framing == Framing::None && flow.in_end != flow.in_body) return false;
    if (flow.framing == Framing::Chunked && (flow.in_parsed < flow.in_body || flow.in_parsed > in ||
                                             flow.left_out > flow.in_parsed - flow.in_body))
        return false;
    const std::uint64_t passed = forwarded(flow, out);
    if (flow.tail != Tail::None && passed == flow.in_end) {
        const std::uint64_t tail_out =
            flow.out_start + flow.head_bytes + (flow.in_end - flow.in_body);
        return passed <= in && out <= tail_out + text_of(flow.tail).size();
    }
    // More passed on than may be, or more waiting than the ring holds.
    return passed <= limit_of(flow, in) && in - passed <= ring_bytes;
}

}  // namespace thole::edge
