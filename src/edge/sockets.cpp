// Bytes from and to sockets, and the blocks they lie in on their way.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "edge/worker.h"
#include "model/defaults.h"
#include "os/fault_point.h"

namespace thole::edge {
namespace {

std::string_view ring_piece(const Segment& segment, std::uint32_t ring, std::uint64_t from,
                            std::uint64_t to) {
    const std::uint64_t index = from % kRingBytes;
    return {segment.rings[ring] + index, std::min<std::uint64_t>(to - from, kRingBytes - index)};
}

// Enough for a head or a small answer; what is longer is read by a second call.
constexpr std::uint64_t kOnePieceBytes = 4096;
// Of those that wait, so many are looked at for each block that is given back: not each of them can
// use it. What is missed by that waits until the next sweep.
constexpr std::size_t kFedByOne = 32;

iovec to_part(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

}  // namespace

void Worker::watch(std::uint32_t fd) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u64 = fd;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, static_cast<int>(fd), &event);
}

// Bytes of a ring as one piece; copied where they wrap. Valid until the next call.
std::string_view Worker::text_of(std::uint32_t ring, std::uint64_t from, std::uint64_t to) {
    char* const copy = runtime_.wrapped[number_];
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
        const bool is_client = record.kind == Kind::Client;
        const bool is_body = is_client && has_exchange(record) &&
                             exchange(fd).phase != Phase::Reading &&
                             exchange(fd).phase != Phase::Tunnel;
        const bool is_held_back = is_body && is_over(free_.rings_fill(), model::kHoldBodiesPercent);
        if (is_held_back || free_.rings.size() <= (is_client ? free_.rings_spared() : 0)) {
            starve(is_client ? fd : socket.other);
            return false;
        }
        const std::uint32_t ring = free_.rings.back();
        segment_.ring_owners[ring] = {record.cookie, socket.in};
        std::atomic_signal_fence(std::memory_order_seq_cst);
        record.ring = ring;
        free_.rings.pop_back();
        std::atomic_signal_fence(std::memory_order_seq_cst);
        FAULT_POINT("ring, taken");
    }
    const std::uint64_t space = keep_from + kRingBytes - socket.in;
    if (space == 0) return false;
    char* const ring = segment_.rings[record.ring];
    const std::uint64_t index = socket.in % kRingBytes;
    const std::uint64_t first = std::min<std::uint64_t>(space, kRingBytes - index);
    // One piece is cheaper to ask for than two: recv goes straight to the socket, readv by way of
    // the file.
    const bool is_one = space == first || first >= kOnePieceBytes;
    const std::uint64_t asked = is_one ? first : space;
    iovec parts[2] = {{ring + index, first}, {ring, space - first}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t got = is_one ? ::recv(static_cast<int>(fd), ring + index, first, 0)
                               : ::recvmsg(static_cast<int>(fd), &message, 0);
    FAULT_POINT("received");
    if (got < 0) {
        if (errno == EAGAIN) socket.can_read = false;
        if (errno != EAGAIN && errno != EINTR)
            socket.has_ended = socket.was_reset = socket.is_broken = true;
        return false;
    }
    if (got == 0) {
        socket.has_ended = true;
        return true;
    }
    // Less than asked for: the kernel has no more now, and tells when it has; but an end it told of
    // already.
    if (static_cast<std::uint64_t>(got) < asked && !socket.may_end) socket.can_read = false;
    socket.in += static_cast<std::uint64_t>(got);
    socket.since_ns = now_ns_;
    return true;
}

// Writes what the flow may pass on, head and body by one call. False where nothing could be
// written.
bool Worker::flush(const Flow& flow, std::uint32_t from, std::uint32_t to) {
    Socket& target = runtime_.socket(to);
    if (target.is_connecting || !target.can_write || target.is_broken) return false;
    iovec parts[4];
    std::size_t count = 0;
    if (const std::uint32_t left = head_left(flow, target.out); left > 0) {
        const char* const head = segment_.heads[flow.head] + (flow.head_bytes - left);
        parts[count++] = to_part({head, left});
    }
    const std::uint64_t at = forwarded(flow, target.out);
    std::uint64_t limit = from == kNone ? flow.in_body : limit_of(flow, runtime_.socket(from).in);
    if (limit > at && (target.is_paced || runtime_.socket(from).is_paced))
        limit = faulty_.pace(from, to, at, limit);
    const std::string_view tail = limit == flow.in_end ? tail_left(flow, target.out) : "";
    if (limit > at) {
        const std::uint32_t ring = runtime_.record(from).ring;
        const std::string_view first = ring_piece(segment_, ring, at, limit);
        parts[count++] = to_part(first);
        if (first.size() < limit - at)
            parts[count++] = to_part(ring_piece(segment_, ring, at + first.size(), limit));
    }
    if (!tail.empty()) parts[count++] = to_part(tail);
    if (count == 0) return false;
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    const ssize_t sent =
        count == 1 ? ::send(static_cast<int>(to), parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                   : ::sendmsg(static_cast<int>(to), &message, MSG_NOSIGNAL);
    FAULT_POINT("sent");
    if (sent < 0) {
        if (errno == EAGAIN) target.can_write = false;
        if (errno == EAGAIN || errno == EINTR) return false;
        target.is_broken = true;
        // An error is told once: reading will look like an end. EPIPE is told after an end alone.
        target.was_reset = errno != EPIPE;
        target.can_read = true;  // What it said before may have come since we were told last.
        return false;
    }
    target.out += static_cast<std::uint64_t>(sent);
    target.since_ns = now_ns_;
    return sent > 0;
}

void Worker::free_ring(Record& record) {
    const std::uint32_t ring = record.ring;
    record.ring = kNone;
    if (ring == kNone) return;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    segment_.ring_owners[ring].cookie = 0;
    FAULT_POINT("ring, let go of");
    free_.rings.push_back(ring);
    feed(kFedByOne);
}

// Where nothing is waited for but more bytes: a quiet tunnel or a slow answer needs no block.
void Worker::free_empty_rings(std::uint32_t fd) {
    if (!is_own_client(fd)) return;
    const Socket& client = runtime_.socket(fd);
    Record& record = runtime_.record(fd);
    if (!has_exchange(record)) return;
    const Exchange& now = exchange(fd);
    const bool has_begun = now.phase == Phase::Answering || now.phase == Phase::Tunnel;
    const bool is_asked = now.phase == Phase::Ready || now.phase == Phase::Attached;
    // Before its answer has begun a request may have to be sent again; hints are none.
    const bool is_interim = (now.flags & kInterim) != 0;
    if (is_asked && client.in == now.request.in_body) free_ring(record);
    if (now.upstream == kNone) return;
    const Socket& upstream = runtime_.socket(now.upstream);
    const bool is_passed_on = wanted_from(now.request, upstream.out, client.in) == client.in;
    if (has_begun && !is_interim && is_passed_on) free_ring(record);
    const std::uint64_t told =
        has_begun ? wanted_from(now.response, client.out, upstream.in) : now.upstream_in_start;
    if (told == upstream.in) free_ring(runtime_.record(now.upstream));
}

void Worker::free_head(std::uint32_t block) {
    if (block == kNone) return;
    segment_.head_owners[block].cookie = 0;
    free_.heads.push_back(block);
    feed(kFedByOne);
}

// All blocks are taken: its bytes stay with the kernel until one is free. Once in the list, however
// often it is looked at meanwhile, and whatever it waits for.
void Worker::starve(std::uint32_t client) {
    if (client == kNone || runtime_.socket(client).is_starved) return;
    runtime_.socket(client).is_starved = true;
    starved_.push_back(client);
}

// Those that have waited longest are looked at again.
void Worker::feed(std::size_t count) {
    const auto end =
        starved_.begin() + static_cast<std::ptrdiff_t>(std::min(count, starved_.size()));
    for (auto at = starved_.begin(); at != end; ++at) {
        if (!is_own_client(*at)) continue;
        runtime_.socket(*at).is_starved = false;
        again_.push_back(*at);
    }
    starved_.erase(starved_.begin(), end);
}

void Worker::close_socket(std::uint32_t fd) {
    Record& record = runtime_.record(fd);
    record.kind = Kind::Free;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    FAULT_POINT("close, nobody's");
    free_ring(record);
    runtime_.socket(fd) = Socket{};
    runtime_.open.fetch_sub(1, std::memory_order_relaxed);
    runtime_.close_number(fd);
    FAULT_POINT("close, closed");
}

void Worker::drop_upstream(std::uint32_t fd) {
    if (fd == kNone || !runtime_.socket(fd).is_open) return;
    release(fd);
    close_socket(fd);
}

}  // namespace thole::edge
