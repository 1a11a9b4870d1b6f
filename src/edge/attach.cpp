// An endpoint for a request, and a connection to it: the less loaded of two, an idle connection
// that is not too old, or a new one. Without an endpoint: waiting, within the service's limits.
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "edge/worker.h"
#include "os/fault_point.h"

namespace thole::edge {
namespace {

constexpr int kTriesMax = 4;  // In one go; then a moment later again.

}  // namespace

bool Held::take(std::uint32_t bytes, std::uint32_t requests_max, std::uint32_t bytes_max) {
    std::uint64_t now = all_.load();
    do {
        if (now / kOne >= requests_max || now % kOne + bytes > bytes_max) return false;
    } while (!all_.compare_exchange_weak(now, now + kOne + bytes));
    return true;
}

// The idle connection that was used last, if a request may go out on it.
std::uint32_t Worker::take_idle(std::uint32_t slot, const Exchange& exchange) {
    std::vector<std::uint32_t>& idle = endpoints_.at(slot).idle;
    while (!idle.empty()) {
        const std::uint32_t fd = idle.back();
        idle.pop_back();
        Socket& socket = runtime_.socket(fd);
        if (!socket.is_open || runtime_.record(fd).kind != Kind::Idle) continue;
        bool fits = runtime_.record(fd).generation == segment_.endpoints[slot].generation &&
                    endpoints_.at(slot).keep_alive.may_reuse(now_ns_ - socket.since_ns);
        if (fits && (exchange.flags & kIdempotent) == 0) {
            // What cannot be sent twice looks first whether the server is just closing.
            char byte = 0;
            fits = ::recv(static_cast<int>(fd), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
                   errno == EAGAIN;
        }
        if (!fits) {
            close_socket(fd);
            continue;
        }
        Record& record = runtime_.record(fd);
        record.kind = Kind::Busy;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        FAULT_POINT("idle, taken");
        socket.was_reused = true;
        return fd;
    }
    return kNone;
}

std::uint32_t Worker::connect_to(std::uint32_t slot, std::uint32_t service) {
    // Main may be writing another instance into the slot, of another service even: then what was
    // read is of no use.
    const EndpointEntry& entry = segment_.endpoints[slot];
    const std::uint32_t generation = entry.generation;
    const std::uint32_t address = entry.address;
    const std::uint32_t port = entry.port;
    if (entry.service != service || entry.bits != 0 || entry.generation != generation) return kNone;
    if (is_full(runtime_.descriptors_fill())) return kNone;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return kNone;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(address);
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0;
    if (fd >= static_cast<int>(kDescriptorsMax) || (!connected && errno != EINPROGRESS)) {
        if (errno == ECONNREFUSED) endpoints_.refused(slot, now_ns_);
        ::close(fd);
        return kNone;
    }
    FAULT_POINT("connect, not recorded");
    const auto number = static_cast<std::uint32_t>(fd);
    runtime_.take_number(number);
    runtime_.open.fetch_add(1, std::memory_order_relaxed);
    Socket& socket = runtime_.socket(number);
    socket = Socket{};
    socket.owner = number_;
    socket.since_ns = socket.made_ns = now_ns_;
    socket.is_open = true;
    socket.is_connecting = !connected;
    open_upstream(runtime_.record(number), fd, {slot, generation});
    FAULT_POINT("connect, not watched");
    watch(number);
    return number;
}

ServiceTraffic& WorkerParts::traffic_of(std::uint32_t place) {
    return traffic_[std::min<std::size_t>(place, traffic_.size() - 1)];
}

// From here on an instance works for it; release() is its end.
void Worker::take_on(std::uint32_t fd) {
    const Exchange& now = exchange(fd);
    Socket& upstream = runtime_.socket(now.upstream);
    EndpointState& endpoint = endpoints_.at(now.slot);
    ++endpoint.load;
    upstream.is_awaited = now.phase == Phase::Attached;
    if (upstream.is_awaited) endpoint.latency.began(now_ns_);
    counting_.attached({now.slot, now.generation});
    upstream.service = now.service.place;
    upstream.is_retry = (now.flags & kRetried) != 0;
    ServiceTraffic& traffic = traffic_of(upstream.service);
    ++traffic.in_flight;
    if (upstream.is_retry) ++traffic.retries;
}

// A connection to an instance that serves; kNone where there is none now.
std::uint32_t Worker::find_upstream(std::uint32_t fd, const ServiceAt& service) {
    const Exchange& now = exchange(fd);
    // Each attempt at another endpoint, where there is one.
    Wanted wanted{.point = now.point};
    if (now.attempts > 0) wanted = {now.slot, now.slot_before, now.point};
    std::uint32_t upstream = kNone;
    for (int tries = 0; upstream == kNone && tries < kTriesMax; ++tries) {
        std::uint32_t slot = tries == 0 && now.attempts == 0 ? faulty_.sent_to(now) : kNone;
        if (slot == kNone) slot = endpoints_.pick(service, wanted, now_ns_, random_);
        if (slot == kNone)
            slot = endpoints_.pick(service, {.last = wanted.last, .point = now.point}, now_ns_,
                                   random_);
        if (slot == kNone) slot = endpoints_.pick(service, {.point = now.point}, now_ns_, random_);
        if (slot == kNone || faulty_.meets(fd, slot)) return kNone;
        if ((now.flags & kFresh) == 0) upstream = take_idle(slot, now);
        if (upstream == kNone) upstream = connect_to(slot, service.id);
    }
    return upstream;
}

// False where the request has to wait for an endpoint.
bool Worker::attach(std::uint32_t fd) {
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    const ServiceAt service = server_of(at.record);
    if (service.place == kNone) return false;
    // Where one or the other can always be tried it never waits in between; the tries are its wait.
    // After the first one it may go elsewhere, however long that was.
    if (now.held_us > 0 && now_ns_ - now.attached_ns > service_of(at.record).hold_ns) {
        answer(fd, kTooLate);
        return true;
    }
    ServiceTraffic& traffic = traffic_of(service.place);
    if (traffic.service != service.id) {
        traffic = {};
        traffic.service = service.id;
    }
    if (now.attempts == 0 && now.deadline_ns != 0 &&
        !can_finish(now.deadline_ns - now_ns_, traffic.usual.half(), random_)) {
        answer(fd, {504, wire::Outcome::TimedOut, "too little time is left for an answer"});
        return true;
    }
    if (shares_of(segment_, service.place) != nullptr) place_again(at);
    const std::uint32_t upstream = find_upstream(fd, service);
    const bool is_kept =
        (exchange(fd).flags & kFaultDue) != 0;  // By a fault of just that instance.
    if (upstream == kNone && !is_kept) return false;
    if (endpoints_.take_diverted()) counting_.diverted();
    unhold(fd);
    if (is_kept) return true;
    Socket& socket = runtime_.socket(upstream);
    socket.other = fd;
    socket.since_ns = now_ns_;
    const wire::SlotRef endpoint{runtime_.record(upstream).slot,
                                 runtime_.record(upstream).generation};
    const EndpointState& state = endpoints_.at(endpoint.slot);
    // As it was applied here: main may be writing the next instance into the slot. Where it is that
    // next one already, main waits for us, and writes nothing.
    const std::uint32_t release = state.generation == endpoint.generation
                                      ? state.release
                                      : segment_.endpoints[endpoint.slot].release.load();
    // One that refused took no part in it.
    const bool was_refused = now.attempts > 0 && now_ns_ < endpoints_.at(now.slot).refused_until_ns;
    write_attempt(now);
    FAULT_POINT("attach, nobody's");
    commit(at, [&](Exchange& next) {
        next.phase = Phase::Attached;
        if (!was_refused) next.slot_before = next.attempts > 0 ? next.slot : kNone;
        next.attempts += 1;
        next.slot = endpoint.slot;
        next.generation = endpoint.generation;
        next.release = release;
        next.considered = endpoints_.considered();
        next.connect_us = next.answer_us = 0;
        next.held_us = static_cast<std::uint32_t>((now_ns_ - next.attached_ns) / 1000);
        next.attached_ns = now_ns_;
        next.upstream = upstream;
        next.upstream_cookie = runtime_.record(upstream).cookie;
        next.upstream_in_start = socket.in;
        next.request.out_start = socket.out;
    });
    entrance_.carry(fd, upstream);
    FAULT_POINT("attach, not counted");
    take_on(fd);
    const Exchange& then = current(at);
    if (then.attempts == 1) traffic.budget.request(now_ns_);
    if (then.attempts > 1 || (then.flags & kHeld) != 0) counting_.waited(now_ns_ - then.begun_ns);
    return true;
}

// No endpoint serves: the request waits until one does, or its time is over. True where it may not
// wait, and was answered.
bool Worker::hold(std::uint32_t fd) {
    Socket& socket = runtime_.socket(fd);
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    const ServiceAt service = server_of(at.record);
    entrance_.leave(fd);
    if (service.place == kNone) {
        answer(fd, {503, wire::Outcome::Overloaded, "this address is not served any more"});
        return true;
    }
    // One that refused just now is asked again when it may be: by these, in their order, before any
    // that comes then.
    if (held_again_ns_ <= now_ns_) {
        held_again_ns_ = endpoints_.refused_until_ns(service.place, now_ns_);
        if (held_again_ns_ != 0) alarms_.set(fd, socket.alarm_ns, held_again_ns_);
    }
    if (socket.is_held) return false;
    const ServiceEntry& limits = segment_.services[service.place];
    Held& held = runtime_.held[service.place];
    socket.held_bytes =
        now.request.head_bytes + static_cast<std::uint32_t>(socket.in - now.in_start);
    if (!held.take(socket.held_bytes, limits.held_requests_max, limits.held_bytes_max)) {
        answer(fd, {503, wire::Outcome::Overloaded,
                    "too many requests wait for an instance of this service"});
        return true;
    }
    socket.is_held = true;
    socket.service = service.place;
    socket.held_as = ++holds_;
    socket.held_until_ns = now.attached_ns + limits.hold_ns;
    if (now.deadline_ns != 0)
        socket.held_until_ns = std::min(socket.held_until_ns, now.deadline_ns);
    held_.push_back(fd);
    if ((now.flags & kHeld) != 0) return false;
    counting_.held();
    commit(at, [](Exchange& next) { next.flags |= kHeld; });
    return false;
}

void Worker::unhold(std::uint32_t fd) {
    Socket& socket = runtime_.socket(fd);
    if (!socket.is_held) return;
    socket.is_held = false;
    runtime_.held[socket.service].give_back(socket.held_bytes);
}

// Before whatever else is to be looked at, and whose time is over first goes first: that is who
// came first, but for those with a deadline of their own. Among those of one turn the order in
// which they came decides.
void Worker::look_at_held() {
    std::erase_if(held_, [this](std::uint32_t fd) {
        return !is_own_client(fd) || !runtime_.socket(fd).is_held;
    });
    const auto place_of = [this](std::uint32_t fd) {
        return std::pair(runtime_.socket(fd).held_until_ns, runtime_.socket(fd).held_as);
    };
    const auto is_before = [&](std::uint32_t one, std::uint32_t other) {
        return place_of(one) < place_of(other);
    };
    if (!std::is_sorted(held_.begin(), held_.end(), is_before))
        std::sort(held_.begin(), held_.end(), is_before);
    // Who waited before on the same connection is listed twice.
    held_.erase(std::unique(held_.begin(), held_.end()), held_.end());
    again_.insert(again_.begin(), held_.begin(), held_.end());
}

// The upstream carries nothing any more.
void Worker::release(std::uint32_t upstream) {
    const Record& record = runtime_.record(upstream);
    std::uint32_t& load = endpoints_.at(record.slot).load;
    if (record.kind != Kind::Busy) return;
    if (load > 0) --load;
    counting_.released({record.slot, record.generation});
    Socket& socket = runtime_.socket(upstream);
    entrance_.give_back(socket);
    if (std::exchange(socket.is_awaited, false)) endpoints_.at(record.slot).latency.left(now_ns_);
    ServiceTraffic& traffic = traffic_of(socket.service);
    if (traffic.in_flight > 0) --traffic.in_flight;
    if (socket.is_retry && traffic.retries > 0) --traffic.retries;
}

void Worker::put_idle(std::uint32_t upstream) {
    Socket& socket = runtime_.socket(upstream);
    Record& record = runtime_.record(upstream);
    release(upstream);
    const EndpointEntry& endpoint = segment_.endpoints[record.slot];
    // Taken out meanwhile: nothing may go out on it again.
    if (endpoint.bits != 0 || endpoint.generation != record.generation)
        return close_socket(upstream);
    socket.other = kNone;
    socket.since_ns = now_ns_;
    free_ring(record);
    record.idle_in = socket.in;
    record.idle_out = socket.out;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    FAULT_POINT("idle, still busy");
    record.kind = Kind::Idle;
    FAULT_POINT("idle, recorded");
    endpoints_.at(record.slot).idle.push_back(upstream);
}

void Worker::idle_closed(std::uint32_t upstream) {
    const std::uint32_t slot = runtime_.record(upstream).slot;
    endpoints_.at(slot).keep_alive.closed_after(now_ns_ - runtime_.socket(upstream).since_ns);
    std::vector<std::uint32_t>& idle = endpoints_.at(slot).idle;
    idle.erase(std::remove(idle.begin(), idle.end(), upstream), idle.end());
    close_socket(upstream);
}

}  // namespace thole::edge
