// Listeners as the snapshot has them, and the connections that come by them.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "edge/tags.h"
#include "edge/worker.h"
#include "model/defaults.h"
#include "os/fault_point.h"
#include "wire/snapshot.h"

namespace thole::edge {
namespace {

constexpr int kAcceptsMax = 16;
// A worker that has nothing to do turns ten times a second (kSweepNs).
constexpr std::int64_t kFreshNs = 250'000'000;

// Who is woken first takes in all that has come meanwhile: by itself that falls to few workers.
// One that did not turn just now gets nothing; it may hang.
std::uint32_t taker_of_next(const Runtime& runtime, std::uint32_t own, std::int64_t now_ns) {
    std::uint32_t least = own;
    for (std::uint32_t i = 0; i < kWorkers; ++i) {
        if (runtime.clients[i].load(std::memory_order_relaxed) <
                runtime.clients[least].load(std::memory_order_relaxed) &&
            now_ns - runtime.workers[i]->turned_ns() < kFreshNs)
            least = i;
    }
    const bool hands_on = should_hand_on(runtime.clients[own].load(std::memory_order_relaxed),
                                         runtime.clients[least].load(std::memory_order_relaxed));
    return hands_on ? least : own;
}

bool is_there(const Segment& segment, ServiceAt to) {
    return to.place < kServicesMax && segment.services[to.place].is_used != 0 &&
           segment.services[to.place].id == to.id;
}

}  // namespace

// Stops watching what the snapshot has dropped before it watches what is new: main closes the
// descriptors of the former once all workers have been here.
void Worker::listen_to_all() {
    for (std::uint32_t place = 0; place < segment_.listener_count; ++place) {
        const ListenerEntry& listener = segment_.listeners[place];
        if (listening_[place].id == listener.id) continue;
        if (listening_[place].id != 0)
            ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listening_[place].fd, nullptr);
        listening_[place] = {listener.id, listener.fd};
        if (listener.id == 0) continue;
        epoll_event event{};
        event.events = EPOLLIN | EPOLLEXCLUSIVE;
        event.data.u64 = kTagListener | place;
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener.fd, &event);
    }
}

void Worker::accept_all(std::uint32_t place) {
    if (listening_[place].id == 0) return;
    for (int i = 0; i < kAcceptsMax; ++i) {
        if (is_over(runtime_.descriptors_fill(), model::kTakeInPercent)) return stop_accepting();
        sockaddr_in peer{};
        socklen_t size = sizeof(peer);
        const int fd = ::accept4(listening_[place].fd, reinterpret_cast<sockaddr*>(&peer), &size,
                                 SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) stop_accepting();
            return;
        }
        if (fd >= static_cast<int>(kDescriptorsMax)) {
            ::close(fd);
            continue;
        }
        take_in(fd, place, peer.sin_addr.s_addr);
    }
}

// No descriptor is left for clients: who comes waits in the listener's queue until the next sweep,
// which makes room; the listener would wake us all the while.
void Worker::stop_accepting() {
    runtime_.shortages[number_].is_accepting = false;
    segment_.refusals[number_].count({wire::RefusalKind::Request, 0, wire::kNoSlot, kAcceptPaused});
    for (Watched& listener : listening_) {
        if (std::exchange(listener.id, 0) != 0)
            ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener.fd, nullptr);
    }
}

void Worker::take_in(int fd, std::uint32_t place, std::uint32_t peer) {
    FAULT_POINT("accept, not recorded");
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    const auto number = static_cast<std::uint32_t>(fd);
    runtime_.take_number(number);
    runtime_.open.fetch_add(1, std::memory_order_relaxed);
    Socket& socket = runtime_.socket(number);
    socket = Socket{};
    socket.is_open = true;
    socket.since_ns = now_ns_;
    socket.peer = peer;
    Record& record = runtime_.record(number);
    const ListenerEntry& listener = segment_.listeners[place];
    open_client(record, fd, listener.id, place);
    ask_caller(number, listener);
    const std::uint32_t taker = taker_of_next(runtime_, number_, now_ns_);
    runtime_.clients[taker].fetch_add(1, std::memory_order_relaxed);
    socket.handed_to.in_order().store(taker, std::memory_order_release);
    FAULT_POINT("accept, not watched");
    if (taker == number_) {
        join(number);
    } else {
        handed_.push_back(number);
    }
    runtime_.workers[taker]->watch(number);
}

// A client that was accepted and prepared for us, by whichever worker; else nothing. For one that
// another worker accepted this comes with its first event.
void Worker::join(std::uint32_t fd) {
    Socket& socket = runtime_.socket(fd);
    std::uint32_t taker = number_;
    if (!socket.handed_to.in_order().compare_exchange_strong(taker, kNone)) return;
    socket.owner = number_;
    socket.place = static_cast<std::uint32_t>(clients_.size());
    clients_.push_back(fd);
}

// Those that nobody has joined until the next sweep: their taker may hang.
void Worker::take_back() {
    for (const std::uint32_t fd : handed_) {
        std::atomic<std::uint32_t>& handed_to = runtime_.socket(fd).handed_to.in_order();
        std::uint32_t taker = handed_to.load();
        if (taker == kNone || taker == number_) continue;
        if (!handed_to.compare_exchange_strong(taker, number_)) continue;
        ::epoll_ctl(runtime_.workers[taker]->epoll_.get(), EPOLL_CTL_DEL, static_cast<int>(fd),
                    nullptr);
        runtime_.clients[taker].fetch_sub(1, std::memory_order_relaxed);
        runtime_.clients[number_].fetch_add(1, std::memory_order_relaxed);
        join(fd);
        watch(fd);
    }
    handed_.clear();
}

// Only a caller that is proved wrong is refused: who has closed already cannot be told from the
// right one.
void Worker::ask_caller(std::uint32_t fd, const ListenerEntry& listener) {
    Record& record = runtime_.record(fd);
    if (listener.kind != static_cast<std::uint32_t>(wire::ListenerKind::Call) ||
        listener.checks_caller == 0)
        return;
    sockaddr_in peer{}, local{};
    socklen_t peer_size = sizeof(peer), local_size = sizeof(local);
    const bool known =
        ::getpeername(static_cast<int>(fd), reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0 &&
        ::getsockname(static_cast<int>(fd), reinterpret_cast<sockaddr*>(&local), &local_size) == 0;
    const std::optional<std::uint32_t> uid =
        known ? callers_.uid_of(peer, local) : std::optional<std::uint32_t>{};
    if (!uid) {
        record.caller = Caller::Unverified;
        return;
    }
    const bool is_right = *uid == listener.caller_uid || *uid == listener.caller_uid_too;
    record.caller = is_right ? Caller::Proved : Caller::Wrong;
}

// Nothing where the snapshot has dropped it.
const ListenerEntry* Worker::listener_of(const Record& client) const {
    if (client.listener_place >= segment_.listener_count) return nullptr;
    const ListenerEntry& listener = segment_.listeners[client.listener_place];
    return listener.id == client.listener && listener.id != 0 ? &listener : nullptr;
}

// Who is to answer, as it was found when the request came; before that, whose limits hold. Where
// that one has gone since and its port is wholly another's now, that other one; else nobody.
ServiceAt Worker::server_of(const Record& client) const {
    if (listener_of(client) == nullptr) return {};
    const ListenerRoutes& of = routes_->of[client.listener_place];
    if (has_exchange(client)) {
        const ExchangePair& pair = segment_.exchanges[block_of(client)];
        const ServiceAt found = pair.halves[commits_of(client) & 1].service;
        if (is_there(segment_, found)) return found;
        if (of.count != 0) return {};
    }
    const bool is_known = of.listener == client.listener && is_there(segment_, of.usual);
    return is_known ? of.usual : ServiceAt{};
}

// Its limits; the usual ones where the snapshot has dropped it.
const ServiceEntry& Worker::service_of(const Record& client) const {
    static constexpr ServiceEntry kUsual{.id = kNone,
                                         .is_used = 0,
                                         .holds = 0,
                                         .shares = 0,
                                         .held_requests_max = model::kHeldRequestsMax,
                                         .held_bytes_max = model::kHeldBytesMax,
                                         .body_bytes_per_second = model::kBodyBytesPerSecondMin,
                                         .connect_ns = model::kConnectLimit.count(),
                                         .response_head_ns = model::kResponseHeadLimit.count(),
                                         .idle_ns = model::kIdleLimit.count(),
                                         .tunnel_ns = Duration(model::kTunnelLimit).count(),
                                         .hold_ns = model::kHoldLimit.count(),
                                         .write_stall_ns = model::kWriteStallLimit.count(),
                                         .body_grace_ns = model::kBodyGrace.count(),
                                         .body_bytes_max = model::kBodyBytesMax,
                                         .total_ns = 0,
                                         .in_flight_max = model::kInFlightMax,
                                         .queued_max = model::kQueuedMax};
    const std::uint32_t place = server_of(client).place;
    return place == kNone ? kUsual : segment_.services[place];
}

}  // namespace thole::edge
