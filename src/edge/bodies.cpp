// Bodies on their way, in both directions: as they came, but for what is left out of chunks.
#include <algorithm>

#include "edge/worker.h"

namespace thole::edge {
namespace {

constexpr int kWritesMax = 16;  // Each way in one round; more only where chunks are split.

}  // namespace

// Chunked bodies: how far the framing is known. False where it is broken.
bool Worker::advance_body(std::uint32_t fd, Flow Exchange::*which) {
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
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
        if (!advance(flow, out, text_of(runtime_.record(source).ring, begun, std::min(in, wrap)))) {
            commit(at, [&](Exchange& next) { next.*which = flow; });  // Which rule, and for ever.
            return false;
        }
    } while (flow.in_parsed != begun && flow.in_parsed < in && flow.in_end == kUnknown);
    if (flow.in_parsed == before.in_parsed && flow.in_body == before.in_body) return true;
    commit(at, [&](Exchange& next) {
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
    const ExchangeAt at = runtime_.exchange(fd);
    const std::uint32_t up = current(at).upstream;
    const bool is_request = which == &Exchange::request;
    for (int writes = 0; writes < kWritesMax; ++writes) {
        if (!advance_body(fd, which)) return false;
        if (!flush(current(at).*which, is_request ? fd : up, is_request ? up : fd) ||
            (current(at).*which).left_out == 0)
            return true;
    }
    // Else there would seem to be no more.
    return advance_body(fd, which);
}

// Passes on what has come of the request. What says no length is measured on its way, as it is
// passed on: its chunks' sizes count, too. Nothing of it goes beyond the limit, so that its
// instance never takes it for whole.
BodyPassed Worker::pass_request(std::uint32_t fd) {
    const Exchange& now = exchange(fd);
    const Socket& upstream = runtime_.socket(now.upstream);
    receive(fd, forwarded(now.request, upstream.out));
    if (const std::uint64_t most = service_of(runtime_.record(fd)).body_bytes_max;
        most != 0 && now.request.framing == Framing::Chunked) {
        if (!advance_body(fd, &Exchange::request)) return BodyPassed::Malformed;
        const Flow& flow = exchange(fd).request;
        const std::uint64_t begin = flow.out_start + flow.head_bytes;
        const std::uint64_t passed = upstream.out > begin ? upstream.out - begin : 0;
        const std::uint64_t next =
            limit_of(flow, runtime_.socket(fd).in) - forwarded(flow, upstream.out);
        if (passed + next > most) return BodyPassed::TooLarge;
    }
    return pass_on(fd, &Exchange::request) ? BodyPassed::Well : BodyPassed::Malformed;
}

}  // namespace thole::edge
