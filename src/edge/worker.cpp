#include "edge/worker.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "model/defaults.h"

namespace thole::edge {
namespace {

constexpr std::uint64_t kTagListener = 1ULL << 32;
constexpr std::uint64_t kTagWake = 2ULL << 32;
constexpr int kEventsMax = 128;
constexpr int kAcceptsMax = 16;
constexpr std::int64_t kSweepNs = 100'000'000;
constexpr std::uint32_t kEnded = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

std::string_view ring_piece(const Segment& segment, std::uint32_t ring, std::uint64_t from,
                            std::uint64_t to) {
    const std::uint64_t index = from % kRingBytes;
    return {segment.rings[ring] + index, std::min<std::uint64_t>(to - from, kRingBytes - index)};
}

iovec to_part(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

void remove_from(std::vector<std::uint32_t>& list, std::uint32_t fd) {
    list.erase(std::remove(list.begin(), list.end(), fd), list.end());
}

}  // namespace

Worker::Worker(Runtime& runtime, std::uint32_t number)
    : runtime_(runtime),
      segment_(runtime.segment),
      number_(number),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      random_(static_cast<std::uint64_t>(now_ns()) + number),
      idle_(wire::kSlotsMax),
      keep_alive_(wire::kSlotsMax),
      loads_(wire::kSlotsMax),
      latencies_(wire::kSlotsMax) {
    CHECK(epoll_.is_open() && wake_.is_open());
}

void Worker::adopt_client(std::uint32_t fd) {
    clients_.push_back(fd);
    again_.push_back(fd);
    const Exchange& exchange = current(runtime_.record(fd));
    runtime_.socket(fd).since_ns = now_ns();
    if (exchange.upstream == kNone) return;
    runtime_.socket(exchange.upstream).other = fd;
    ++loads_[exchange.slot];
}

void Worker::adopt_idle(std::uint32_t fd) {
    runtime_.socket(fd).since_ns = now_ns();
    idle_[runtime_.record(fd).slot].push_back(fd);
}

void Worker::wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

void Worker::watch(std::uint32_t fd) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, static_cast<int>(fd), &event);
}

void Worker::listen_to_all() {
    for (; listening_ < segment_.listener_count; ++listening_) {
        epoll_event event{};
        event.events = EPOLLIN | EPOLLEXCLUSIVE;
        event.data.u64 = kTagListener | listening_;
        ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, segment_.listeners[listening_].fd, &event);
    }
}

void Worker::run() {
    for (const std::uint32_t fd : clients_) {
        watch(fd);
        if (const std::uint32_t upstream = current(runtime_.record(fd)).upstream; upstream != kNone)
            watch(upstream);
    }
    for (const std::vector<std::uint32_t>& idle : idle_) {
        for (const std::uint32_t fd : idle) watch(fd);
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kTagWake;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
    while (true) turn();
}

void Worker::turn() {
    epoll_event events[kEventsMax];
    const int wait = again_.empty() ? static_cast<int>(kSweepNs / 1'000'000) : 0;
    const int count = ::epoll_wait(epoll_.get(), events, kEventsMax, wait);
    now_ns_ = now_ns();
    // Before anything is attached in this turn: what main has published counts from here on.
    apply_table();
    std::vector<std::uint32_t> ready;
    ready.swap(again_);
    for (int i = 0; i < count; ++i) {
        const std::uint64_t tag = events[i].data.u64;
        if ((tag & kTagListener) != 0) {
            accept_all(segment_.listeners[static_cast<std::uint32_t>(tag)]);
        } else if ((tag & kTagWake) != 0) {
            std::uint64_t value = 0;
            [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &value, sizeof(value));
        } else {
            on_ready(static_cast<std::uint32_t>(tag), events[i].events);
        }
    }
    ready.insert(ready.end(), again_.begin(), again_.end());
    again_.clear();
    for (const std::uint32_t fd : ready) {
        if (runtime_.socket(fd).is_open && runtime_.record(fd).kind == Kind::Client) step(fd);
    }
    if (now_ns_ - swept_ns_ >= kSweepNs) sweep();
}

void Worker::on_ready(std::uint32_t fd, std::uint32_t events) {
    Socket& socket = runtime_.socket(fd);
    if (!socket.is_open) return;
    if ((events & kEnded) != 0) socket.can_read = true;
    if ((events & kEnded & ~std::uint32_t{EPOLLIN}) != 0) socket.may_end = true;
    if ((events & EPOLLOUT) != 0) {
        socket.can_write = true;
        socket.is_connecting = false;
    }
    if ((events & EPOLLERR) != 0) socket.is_broken = true;
    switch (runtime_.record(fd).kind) {
        case Kind::Client: again_.push_back(fd); break;
        case Kind::Busy:
            if (socket.other != kNone) again_.push_back(socket.other);
            break;
        case Kind::Idle:
            // Closed, or speaking unasked: either way never used again.
            if ((events & kEnded) != 0) idle_closed(fd);
            break;
        case Kind::Free: break;
    }
}

void Worker::apply_table() {
    const std::uint64_t sequence = runtime_.table_sequence.load(std::memory_order_acquire);
    if (applied_.load(std::memory_order_relaxed) == sequence) return;
    listen_to_all();
    serving_.clear();
    for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot) {
        const EndpointEntry& entry = segment_.endpoints[slot];
        if (entry.generation != 0 && entry.bits == 0) serving_.push_back(slot);
        const std::vector<std::uint32_t> idle = idle_[slot];
        for (const std::uint32_t fd : idle) {
            if (entry.bits != 0 || runtime_.record(fd).generation != entry.generation)
                close_socket(fd);
        }
        if (entry.bits != 0) idle_[slot].clear();
    }
    in_flight_.clear();
    for (const std::uint32_t fd : clients_) {
        const Exchange& exchange = current(runtime_.record(fd));
        if (exchange.upstream == kNone) continue;
        const EndpointEntry& entry = segment_.endpoints[exchange.slot];
        if (entry.generation == exchange.generation && entry.bits == 0) continue;
        in_flight_.push_back({{exchange.slot, exchange.generation}, exchange.id});
    }
    again_.insert(again_.end(), held_.begin(), held_.end());
    held_.clear();
    applied_.store(sequence, std::memory_order_release);
}

void Worker::accept_all(const ListenerEntry& listener) {
    for (int i = 0; i < kAcceptsMax; ++i) {
        const int fd = ::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        if (fd >= static_cast<int>(kDescriptorsMax)) {
            ::close(fd);
            continue;
        }
        const int one = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        const auto number = static_cast<std::uint32_t>(fd);
        runtime_.socket(number) = Socket{};
        runtime_.socket(number).is_open = true;
        runtime_.socket(number).since_ns = now_ns_;
        Record& record = runtime_.record(number);
        open_record(record, fd, Kind::Client, {0, 0});
        commit(record, [&](Exchange& next) { next.listener = listener.id; });
        clients_.push_back(number);
        watch(number);
    }
}

const ListenerEntry* Worker::listener_of(const Exchange& exchange) const {
    for (std::uint32_t i = 0; i < segment_.listener_count; ++i) {
        if (segment_.listeners[i].id == exchange.listener) return &segment_.listeners[i];
    }
    return nullptr;
}

// Bytes of a ring as one piece; copied where they wrap. Valid until the next call.
std::string_view Worker::text_of(std::uint32_t ring, std::uint64_t from, std::uint64_t to) {
    static thread_local char copy[kRingBytes];
    const std::string_view first = ring_piece(segment_, ring, from, to);
    if (first.size() == to - from) return first;
    const std::string_view second = ring_piece(segment_, ring, from + first.size(), to);
    std::memcpy(copy, first.data(), first.size());
    std::memcpy(copy + first.size(), second.data(), second.size());
    return {copy, first.size() + second.size()};
}

// Reads once into the ring; what is at or after `keep_from` is still needed. False where nothing
// came.
bool Worker::receive(std::uint32_t fd, std::uint64_t keep_from) {
    Socket& socket = runtime_.socket(fd);
    Record& record = runtime_.record(fd);
    if (!socket.can_read || socket.has_ended || socket.is_connecting) return false;
    if (record.ring == kNone) {
        if (rings_.empty()) return false;
        record.ring = rings_.back();
        rings_.pop_back();
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    const std::uint64_t space = keep_from + kRingBytes - socket.in;
    if (space == 0) return false;
    char* const ring = segment_.rings[record.ring];
    const std::uint64_t index = socket.in % kRingBytes;
    const std::uint64_t first = std::min<std::uint64_t>(space, kRingBytes - index);
    const iovec parts[2] = {{ring + index, first}, {ring, space - first}};
    const ssize_t got = ::readv(static_cast<int>(fd), parts, space > first ? 2 : 1);
    if (got < 0) {
        if (errno == EAGAIN) socket.can_read = false;
        if (errno != EAGAIN && errno != EINTR) socket.has_ended = socket.is_broken = true;
        return false;
    }
    if (got == 0) {
        socket.has_ended = true;
        return true;
    }
    // Less than asked for: the kernel has no more now, and tells when it has; but an end it told of
    // already.
    if (static_cast<std::uint64_t>(got) < space && !socket.may_end) socket.can_read = false;
    socket.in += static_cast<std::uint64_t>(got);
    socket.since_ns = now_ns_;
    return true;
}

// Writes what the flow may pass on, head and body by one call. False where nothing could be
// written.
bool Worker::flush(const Flow& flow, std::uint32_t from, std::uint32_t to) {
    Socket& target = runtime_.socket(to);
    if (target.is_connecting || !target.can_write || target.is_broken) return false;
    iovec parts[3];
    std::size_t count = 0;
    if (const std::uint32_t left = head_left(flow, target.out); left > 0) {
        const char* const head = segment_.heads[flow.head] + (flow.head_bytes - left);
        parts[count++] = to_part({head, left});
    }
    const std::uint64_t at = forwarded(flow, target.out);
    const std::uint64_t limit =
        from == kNone ? flow.in_body : limit_of(flow, runtime_.socket(from).in);
    if (limit > at) {
        const std::uint32_t ring = runtime_.record(from).ring;
        const std::string_view first = ring_piece(segment_, ring, at, limit);
        parts[count++] = to_part(first);
        if (first.size() < limit - at)
            parts[count++] = to_part(ring_piece(segment_, ring, at + first.size(), limit));
    }
    if (count == 0) return false;
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(static_cast<int>(to), &message, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno == EAGAIN) target.can_write = false;
        if (errno != EAGAIN && errno != EINTR) target.is_broken = true;
        return false;
    }
    target.out += static_cast<std::uint64_t>(sent);
    target.since_ns = now_ns_;
    return sent > 0;
}

void Worker::free_ring(Record& record) {
    if (record.ring != kNone) rings_.push_back(record.ring);
    record.ring = kNone;
}

void Worker::close_socket(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    record.kind = Kind::Free;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    free_ring(record);
    runtime_.socket(fd) = Socket{};
    ::close(static_cast<int>(fd));
}

void Worker::drop_upstream(std::uint32_t fd) {
    if (fd == kNone || !runtime_.socket(fd).is_open) return;
    std::uint32_t& load = loads_[runtime_.record(fd).slot];
    if (load > 0) --load;
    close_socket(fd);
}

void Worker::close_client(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    const Exchange exchange = current(record);
    record.kind = Kind::Free;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    for (const Flow* flow : {&exchange.request, &exchange.response}) {
        if (flow->head != kNone) heads_.push_back(flow->head);
    }
    drop_upstream(exchange.upstream);
    remove_from(clients_, fd);
    remove_from(held_, fd);
    close_socket(fd);
}

// Time limits; ten times a second is near enough for limits of seconds.
void Worker::sweep() {
    swept_ns_ = now_ns_;
    const std::vector<std::uint32_t> clients = clients_;
    for (const std::uint32_t fd : clients) {
        if (runtime_.socket(fd).is_open) sweep_client(fd);
    }
    std::vector<std::uint32_t> lingering;
    lingering.swap(lingering_);
    for (const std::uint32_t fd : lingering) {
        Socket& socket = runtime_.socket(fd);
        if (!socket.is_open || runtime_.record(fd).shut == 0) continue;
        if (now_ns_ - socket.since_ns > model::kLingerLimit.count()) {
            close_client(fd);
        } else {
            lingering_.push_back(fd);
        }
    }
}

void Worker::sweep_client(std::uint32_t fd) {
    const Exchange& exchange = current(runtime_.record(fd));
    const Socket& client = runtime_.socket(fd);
    const std::int64_t upstream_since =
        exchange.upstream == kNone ? 0 : runtime_.socket(exchange.upstream).since_ns;
    const std::int64_t quiet = now_ns_ - std::max(client.since_ns, upstream_since);
    switch (exchange.phase) {
        case Phase::Reading:
            // A head that was begun has ten seconds as a whole; between requests it is idle.
            if (client.in > exchange.in_start
                    ? now_ns_ - exchange.begun_ns > model::kRequestHeadLimit.count() &&
                          exchange.begun_ns != 0
                    : quiet > model::kIdleLimit.count()) {
                close_client(fd);
            }
            break;
        case Phase::Ready:
            if (now_ns_ - exchange.begun_ns > model::kHoldLimit.count()) {
                remove_from(held_, fd);
                answer(fd, 503, "no instance of this service became ready in time");
                again_.push_back(fd);
            }
            break;
        case Phase::Attached:
            if (runtime_.socket(exchange.upstream).is_connecting
                    ? quiet > model::kConnectLimit.count()
                    : quiet > model::kResponseHeadLimit.count()) {
                if (runtime_.socket(exchange.upstream).is_connecting) {
                    runtime_.socket(exchange.upstream).is_broken = true;
                } else {
                    answer(fd, 504, "the service did not answer in time");
                }
                again_.push_back(fd);
            }
            break;
        case Phase::Answering:
            if (quiet > model::kIdleLimit.count()) close_client(fd);
            break;
        case Phase::Tunnel:
            if (quiet > model::kTunnelLimit.count()) close_client(fd);
            break;
    }
}

}  // namespace thole::edge
