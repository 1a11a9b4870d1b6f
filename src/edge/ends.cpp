// How exchanges and connections end: by themselves, by a time limit, or because somebody went away.
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>

#include "edge/worker.h"
#include "model/defaults.h"
#include "os/fault_point.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kLastsNs = 1'000'000'000;  // Of an answer: longer than most take.
// Between two sweeps nobody is charged more than this: where we ourselves were stopped.
constexpr std::int64_t kLookedMaxNs = 200'000'000;

// Bytes that the kernel holds for it and it has not acknowledged.
std::uint32_t unsent_of(std::uint32_t fd) {
    int bytes = 0;
    return ::ioctl(static_cast<int>(fd), SIOCOUTQ, &bytes) == 0 ? static_cast<std::uint32_t>(bytes)
                                                                : 0;
}

}  // namespace

// What is known of it now, should it end so.
End Worker::end_as(std::uint32_t fd, wire::Outcome outcome) {
    const Exchange& now = exchange(fd);
    const Socket& client = runtime_.socket(fd);
    const ServiceAt service = server_of(runtime_.record(fd));
    End how{outcome, now_ns_, {}};
    how.service = service.place != kNone ? service.id : 0;
    how.address = client.peer;
    how.bytes_in = client.in - now.in_start;
    if (now.phase == Phase::Reading) return how;
    how.head = request_head_of(segment_, now);
    // What comes after it is the next request's.
    how.bytes_in = std::min(client.in, now.request.in_end) - now.in_start;
    if (now.phase != Phase::Ready && now.phase != Phase::Attached)
        how.bytes_out = client.out - now.response.out_start;
    return how;
}

void WorkerParts::refused(std::uint32_t fd, std::string_view rule, wire::RefusalKind kind) {
    const Record& client = runtime_.record(fd);
    std::uint32_t service = wire::kNoSlot;
    if (has_exchange(client)) {
        const Exchange& now = exchange(fd);
        if (now.phase != Phase::Reading && (now.flags & kOwnAnswer) == 0) service = now.service.id;
    }
    segment_.refusals[number_].count({kind, client.listener, service, rule});
}

// Counts how it ended, once; where nothing was begun there is nothing to count.
void Worker::end(std::uint32_t fd, wire::Outcome outcome) {
    if (!has_exchange(runtime_.record(fd))) return;
    const Exchange& now = exchange(fd);
    if (now.phase == Phase::Reading || (now.flags & kCounted) != 0) return;
    counting_.end(runtime_.exchange(fd), fd, end_as(fd, outcome), [](Exchange&) {});
}

// The outcome is that of the exchange under way, if one is.
void Worker::close_client(std::uint32_t fd, wire::Outcome outcome) {
    end(fd, outcome);
    Record& record = runtime_.record(fd);
    record.kind = Kind::Free;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    FAULT_POINT("close of a client, nobody's");
    unhold(fd);
    entrance_.leave(fd);
    if (has_exchange(record)) {
        const Exchange& last = exchange(fd);
        free_head(last.request.head);
        free_head(last.response.head);
        drop_upstream(last.upstream);
        free_.exchanges.push_back(block_of(record));
    }
    const std::uint32_t place = runtime_.socket(fd).place;
    clients_[place] = clients_.back();
    runtime_.socket(clients_[place]).place = place;
    clients_.pop_back();
    runtime_.clients[number_].fetch_sub(1, std::memory_order_relaxed);
    close_socket(fd);
}

// The answer's chunks are broken. Its client is told so where it has none of it, else cut off:
// false.
bool Worker::refuse_response(std::uint32_t fd) {
    const ExchangeAt at = runtime_.exchange(fd);
    const Flow before = current(at).response;
    const std::string_view rule = http::text_of(before.body.rule()).id;
    if (before.head == kNone || runtime_.socket(fd).out != before.out_start) {
        refused(fd, rule, wire::RefusalKind::Answer);
        close_client(fd, wire::Outcome::Reset);
        return false;
    }
    if (ends_with_connection(before)) set_closing(static_cast<int>(fd), Closing::End);
    commit(at, [](Exchange& next) {
        next.phase = Phase::Attached;
        next.response = Flow{};
        next.response.head = kNone;
    });
    free_head(before.head);
    answer(fd, {502, wire::Outcome::Reset, rule});
    return true;
}

// The edge before us died over it: it is not tried again, whatever it is.
void Worker::give_up(std::uint32_t fd) {
    runtime_.socket(fd).is_poison = false;
    if (!has_exchange(runtime_.record(fd))) return close_client(fd, wire::Outcome::ClientGone);
    const Exchange& now = exchange(fd);
    // Where its client has all of the answer, only what comes after that was to be done.
    const bool is_whole = now.phase == Phase::Answering && (now.flags & kInterim) == 0 &&
                          now.response.framing != Framing::UntilClose &&
                          is_complete(now.response, runtime_.socket(fd).out, 0, Source::Open);
    if (is_whole && ends_with_connection(now.response))
        set_closing(static_cast<int>(fd), Closing::End);
    if (now.phase != Phase::Ready && now.phase != Phase::Attached)
        return close_client(fd, is_whole ? outcome_of(now.status) : wire::Outcome::Reset);
    answer(fd, {502, wire::Outcome::Reset, "the edge failed over this request"});
    again_.push_back(fd);
}

// All is passed on: what is left is to close.
void Worker::shut_whole(std::uint32_t fd) {
    runtime_.record(fd).shut = kShutWhole;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    FAULT_POINT("shut, not said");
    ::shutdown(static_cast<int>(fd), SHUT_WR);
    runtime_.socket(fd).since_ns = now_ns_;
    lingering_.push_back(fd);
}

// Our end is closed; what the peer still says is read and dropped until it closes, too, or time is
// over.
void Worker::linger(std::uint32_t fd) {
    Socket& socket = runtime_.socket(fd);
    const std::int64_t since = socket.since_ns;
    while (receive(fd, socket.in) && !socket.has_ended) {}
    socket.since_ns = since;
    if (socket.has_ended || socket.is_broken) close_client(fd, wire::Outcome::ClientGone);
}

// Time limits; ten times a second is near enough for limits of seconds.
void Worker::sweep() {
    take_back();
    for (std::size_t i = clients_.size(); i-- > 0;) sweep_client(clients_[i]);
    std::size_t kept = 0;
    for (const std::uint32_t fd : lingering_) {
        const Socket& socket = runtime_.socket(fd);
        if (!is_own_client(fd) || runtime_.record(fd).shut != kShutWhole) continue;
        if (now_ns_ - socket.since_ns > model::kLingerLimit.count()) {
            close_client(fd, wire::Outcome::ClientGone);
        } else {
            lingering_[kept++] = fd;
        }
    }
    lingering_.resize(kept);
    entrance_.serve_all();
    look_at_held();  // Also those for whom no descriptor or port was left are tried again.
    shed();
    feed(starved_.size());
    swept_ns_ = now_ns_;
}

void Worker::sweep_client(std::uint32_t fd) {
    const Record& record = runtime_.record(fd);
    if (record.shut == kShutWhole) return;
    if (!has_exchange(record)) {  // Between requests it is idle.
        const std::int64_t quiet = now_ns_ - runtime_.socket(fd).since_ns;
        if (quiet > service_of(record).idle_ns) return close_client(fd, wire::Outcome::ClientGone);
        if (listener_of(record) == nullptr) leave_idle(fd);
        return;
    }
    if (runtime_.socket(fd).is_paced && faulty_.is_cut_off(fd)) return faulty_.sweep_cut_off(fd);
    if (waits_in_vain(fd)) return close_client(fd, wire::Outcome::ClientGone);
    const Exchange& now = exchange(fd);
    switch (now.phase) {
        case Phase::Reading:
            // A head that was begun has ten seconds as a whole.
            if (now_ns_ - now.begun_ns > model::kRequestHeadLimit.count()) {
                // Whole, it waits for room: it is told so, for which there is some, or soon will
                // be.
                const Heard heard = parse_request(fd);
                if (heard == Heard::Nothing) {
                    refused(fd, kSlowHead);
                    return close_client(fd, wire::Outcome::ClientGone);
                }
                if (heard == Heard::NoRoom && free_.heads.empty()) return;
                if (heard == Heard::NoRoom)
                    answer(fd, {503, wire::Outcome::Overloaded, "no room for a further request"});
                again_.push_back(fd);
            }
            break;
        case Phase::Ready:
            if (now_ns_ - now.attached_ns > service_of(record).hold_ns) {
                answer(fd, kTooLate);
                again_.push_back(fd);
            } else {
                entrance_.look_at(fd);
            }
            break;
        case Phase::Attached: sweep_attached(fd); break;
        case Phase::Answering:
        case Phase::Tunnel:
            drain(fd);
            sweep_answering(fd);
            break;
    }
}

void Worker::sweep_attached(std::uint32_t fd) {
    const Exchange& now = exchange(fd);
    const ServiceEntry& limits = service_of(runtime_.record(fd));
    Socket& client = runtime_.socket(fd);
    Socket& upstream = runtime_.socket(now.upstream);
    const std::int64_t quiet = now_ns_ - std::max(client.since_ns, upstream.since_ns);
    if (upstream.is_connecting) {
        if (now_ns_ - upstream.since_ns <= limits.connect_ns) return;
        tried(fd, Try::Late);
        upstream.is_broken = true;
    } else if (!is_complete(now.request, upstream.out, 0, Source::Open) && upstream.can_write) {
        // The request's body does not come, or hardly.
        const bool has_passed_all = forwarded(now.request, upstream.out) == client.in;
        const Waiting waiting =
            has_passed_all && !client.can_read ? Waiting::ForClient : Waiting::ForOthers;
        const BodyPace pace{limits.body_grace_ns, limits.idle_ns, limits.body_bytes_per_second};
        const std::int64_t since_ns = std::min(now_ns_ - swept_ns_, kLookedMaxNs);
        const bool is_in_time = keeps_pace(client.body, pace, {client.in, since_ns, waiting});
        if (is_in_time && quiet <= limits.idle_ns) return;
        answer(fd, {408, wire::Outcome::Refused,
                    "EDGE-BODY-SLOW: the request's body did not come in time"});
    } else {
        const std::int64_t most_ns = limits.response_head_ns;
        // Whose answer only waits for room has answered.
        const std::int64_t limit_ns =
            !upstream.is_awaited
                ? most_ns
                : std::min(most_ns,
                           traffic_of(upstream.service).usual.try_limit_ns(now_ns_, most_ns));
        if (quiet <= limit_ns ||
            (upstream.is_awaited && !retry(fd, {}, Try::Late) && quiet <= most_ns))
            return;
        if (exchange(fd).phase == Phase::Ready) return again_.push_back(fd);
        if (upstream.is_awaited) tried(fd, Try::Late);
        answer(fd, {504, wire::Outcome::TimedOut, "the service did not answer in time"});
    }
    again_.push_back(fd);
}

// A pause in the middle of an answer, or silence in a tunnel.
void Worker::sweep_answering(std::uint32_t fd) {
    const ExchangeAt at = runtime_.exchange(fd);
    Socket& client = runtime_.socket(fd);
    const Exchange& before = current(at);
    // What lasts (a tunnel, a stream of events) keeps no room for a head that is passed on.
    const std::uint32_t head = before.response.head;
    if (head != kNone && now_ns_ - before.attached_ns > kLastsNs &&
        (before.flags & (kInterim | kOwnAnswer)) == 0 &&
        head_left(before.response, client.out) == 0) {
        commit(at, [](Exchange& next) { next.response.head = kNone; });
        free_head(head);
    }
    const Exchange& now = current(at);
    const ServiceEntry& limits = service_of(at.record);
    const bool is_tunnel = now.phase == Phase::Tunnel;
    const bool may_be_silent = is_tunnel || (now.flags & kEventStream) != 0;
    // Who does not take what is there is the one who is slow, however much its instance says.
    if (!is_tunnel && !client.can_write) {
        if (!is_stalled(client.stall, {client.out, now_ns_, limits.write_stall_ns},
                        [fd] { return unsent_of(fd); }))
            return;
        refused(fd, kSlowReader);
        return close_client(fd, wire::Outcome::ClientGone);
    }
    client.stall = Stall{};
    std::int64_t since_ns = client.since_ns;
    if (now.upstream != kNone)
        since_ns = std::max(since_ns, runtime_.socket(now.upstream).since_ns);
    if (now_ns_ - since_ns <= (may_be_silent ? limits.tunnel_ns : limits.idle_ns)) return;
    if (is_tunnel) return close_client(fd, wire::Outcome::Informational);
    close_client(fd, wire::Outcome::TimedOut);
}

}  // namespace thole::edge
