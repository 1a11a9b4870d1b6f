// One attempt after the other: when a request may be sent again, and what is said where it may not.
#include "edge/worker.h"
#include "model/defaults.h"

namespace thole::edge {

// Nothing of it may have been executed, or doing it twice is no harm; and all of it is still here.
bool Worker::may_replay(std::uint32_t fd) {
    const Exchange& now = exchange(fd);
    const bool none_sent = runtime_.socket(now.upstream).out == now.request.out_start;
    const bool has_all = runtime_.socket(fd).in - now.request.in_body <= kRingBytes;
    return (none_sent || ((now.flags & kIdempotent) != 0 && has_all)) &&
           now.attempts < model::kAttemptsMax;
}

void Worker::replay(std::uint32_t fd, wire::TryEnd end) {
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    const std::uint32_t gone = now.upstream;
    const Socket& upstream = runtime_.socket(gone);
    // When an instance dies all its connections in the pool are dead at once; each would cost an
    // attempt. A new one is refused, and that is none: then the wait before it goes on.
    const std::uint32_t fresh = upstream.was_reused ? std::uint32_t{kFresh} : 0;
    const bool was_attempt = upstream.was_reused || upstream.out != now.request.out_start;
    const std::int64_t since_ns =
        (was_attempt ? now_ns_ : now.attached_ns) - std::int64_t{now.held_us} * 1000;
    counting_.replay(at, fd, [&](Exchange& next) {
        note_try(next, end, now_ns_);
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
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    const Socket& upstream = runtime_.socket(now.upstream);
    const bool none_sent = upstream.out == now.request.out_start;
    if (none_sent && !upstream.was_reused) {
        // It never took the connection: that was no attempt.
        endpoints_.refused(now.slot, now_ns_);
        const bool was_late = now_ns_ - now.attached_ns > service_of(at.record).connect_ns;
        commit(at, [](Exchange& next) { next.attempts -= 1; });
        return replay(fd, was_late ? wire::TryEnd::NotInTime : wire::TryEnd::Refused);
    }
    if (may_replay(fd))
        return replay(fd, upstream.was_reused ? wire::TryEnd::WasClosed : wire::TryEnd::Lost);
    if (none_sent) {
        answer(fd, {502, wire::Outcome::ConnectFailed, "no instance took the request"});
    } else {
        answer(fd, {502, wire::Outcome::Reset, "the instance went away before it answered"});
    }
}

}  // namespace thole::edge
