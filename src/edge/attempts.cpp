// One attempt after the other: when a request may be sent again, and what is said where it may not.
#include <algorithm>
#include <utility>

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

void Worker::replay(std::uint32_t fd, wire::TryEnd end, std::int64_t due_ns) {
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    const std::uint32_t gone = now.upstream;
    const Socket& upstream = runtime_.socket(gone);
    // When an instance dies all its connections in the pool are dead at once; each would cost an
    // attempt. A new one is refused, and that is none: then the wait before it goes on.
    const bool is_retry = due_ns != 0;
    const std::uint32_t flags = is_retry              ? std::uint32_t{kRetried}
                                : upstream.was_reused ? std::uint32_t{kFresh}
                                                      : 0;
    const bool was_attempt = upstream.was_reused || upstream.out != now.request.out_start;
    const std::int64_t since_ns =
        (was_attempt ? now_ns_ : now.attached_ns) - std::int64_t{now.held_us} * 1000;
    counting_.replay(at, fd, [&](Exchange& next) {
        note_try(next, end, now_ns_);
        next.phase = Phase::Ready;
        next.upstream = kNone;
        next.attached_ns = since_ns;
        next.flags |= flags;
        next.due_ns = due_ns;
    });
    entrance_.keep(fd, gone);
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
    // One from the pool may have been closed for its age.
    if (!upstream.was_reused) tried(fd, Try::Failed);
    if (may_replay(fd))
        return replay(fd, upstream.was_reused ? wire::TryEnd::WasClosed : wire::TryEnd::Lost);
    if (none_sent) {
        answer(fd, {502, wire::Outcome::ConnectFailed, "no instance took the request"});
    } else {
        answer(fd, {502, wire::Outcome::Reset, "the instance went away before it answered"});
    }
}

// How the attempt that is under way went, so far as its instance is judged by it.
void Worker::tried(std::uint32_t fd, Try how) {
    const Exchange& now = exchange(fd);
    if (now.fault != 0) {  // What is made bad on purpose says nothing of its instance.
        if (std::exchange(runtime_.socket(now.upstream).is_awaited, false))
            endpoints_.at(now.slot).latency.left(now_ns_);
        return;
    }
    counting_.tried({now.slot, now.generation}, how);
    if (!std::exchange(runtime_.socket(now.upstream).is_awaited, false)) return;
    PeakLatency& latency = endpoints_.at(now.slot).latency;
    const std::int64_t took_ns = now_ns_ - now.attached_ns;
    if (how == Try::Good) {
        latency.answered(now_ns_, took_ns);
    } else {
        latency.failed(now_ns_, took_ns);
    }
}

// Asks another instance for what this one did not give; false where that is not safe, of no use,
// or would be too much: then what it gave stands.
bool Worker::retry(std::uint32_t fd, std::string_view retry_after, Try why) {
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    // Who retries further out would multiply ours.
    if ((now.flags & (kIdempotent | kCallerRetries)) != kIdempotent || !may_replay(fd))
        return false;
    const ServiceAt service = server_of(at.record);
    if (service.place == kNone) return false;
    if (endpoints_.pick(service, {now.slot, now.slot_before, now.point}, now_ns_, random_) == kNone)
        return false;
    const std::optional<std::int64_t> pause = retry_pause_ns(now.attempts, retry_after, random_);
    if (!pause) return false;
    ServiceTraffic& traffic = traffic_of(service.place);
    const std::int64_t ready_ns = now_ns_ + *pause + traffic.usual.half().half_ns;
    if (now.deadline_ns != 0 && ready_ns >= now.deadline_ns) return false;
    if (!traffic.budget.take(now_ns_, traffic.in_flight, traffic.retries)) return false;
    tried(fd, why);
    replay(fd, why == Try::Late ? wire::TryEnd::Silent : wire::TryEnd::Answered,
           now_ns_ + std::max<std::int64_t>(*pause, 1));
    return true;
}

// An instance has answered: what that says of it, and whether another one is asked instead. True
// where it is.
bool Worker::judge(std::uint32_t fd, const http::ResponseHead& head) {
    const Exchange& now = exchange(fd);
    if (!runtime_.socket(now.upstream).is_awaited) return false;  // It waited for room since.
    if (now.fault == 0)
        traffic_of(runtime_.socket(now.upstream).service)
            .usual.answered(now_ns_ - now.attached_ns, now_ns_);
    const bool is_gateways = head.status >= 502 && head.status <= 504;
    if (is_gateways) {
        const http::Field* const after = head.find("retry-after");
        if (retry(fd, after != nullptr ? after->value : std::string_view{}, Try::Failed))
            return true;
    }
    // That a request goes round is said of the request; it is ours, or another proxy's (RFC 5842).
    const bool is_good = head.status < 500 || head.status == 508;
    tried(fd, is_good ? Try::Good : Try::Failed);
    return false;
}

// Nobody waits for its answer any more. Whoever has begun to get one gets all of it.
bool Worker::is_past_deadline(std::uint32_t fd) {
    const Exchange& now = exchange(fd);
    if (now.phase != Phase::Ready && now.phase != Phase::Attached) return false;
    if (now_ns_ < now.deadline_ns) {
        alarms_.set(fd, runtime_.socket(fd).alarm_ns, now.deadline_ns);
        return false;
    }
    // That is its client's wish first; but one that hangs must not look idle because all its
    // clients are in a hurry.
    Socket* const upstream =
        now.phase == Phase::Attached ? &runtime_.socket(now.upstream) : nullptr;
    if (upstream != nullptr && upstream->is_awaited && !upstream->is_connecting && now.fault == 0 &&
        is_complete(now.request, upstream->out, 0, Source::Open)) {
        const std::int64_t silent_ns =
            now_ns_ - std::max(runtime_.socket(fd).since_ns, upstream->since_ns);
        if (traffic_of(upstream->service).usual.is_unusual(silent_ns, now_ns_)) {
            tried(fd, Try::Late);
        } else {
            upstream->is_awaited = false;
            endpoints_.at(now.slot).latency.left_after(now_ns_, silent_ns);
        }
    }
    answer(fd, {504, wire::Outcome::TimedOut, "its deadline has passed"});
    return true;
}

}  // namespace thole::edge
