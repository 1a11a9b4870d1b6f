// What the edge is held against: the least that a program can do which passes bytes between two TCP
// connections. Two workers, each an epoll loop, one listener shared by both; edge-triggered, each
// descriptor registered once, one recv and one send per piece. It knows nothing of HTTP.
//
//     forwarder <upstream's port>    prints its own port
#include <cerrno>
#include <thread>
#include <vector>

#include "bench/sockets.h"

namespace thole::bench {
namespace {

constexpr std::size_t kBufferBytes = 16 * 1024;
constexpr int kEventsMax = 128;

// One end of a forwarded connection, and the bytes read from it that the other has not taken.
struct Side {
    int fd = -1;
    Side* other = nullptr;
    bool can_read = false, can_write = false, has_ended = false;
    std::size_t begin = 0, end = 0;
    char bytes[kBufferBytes];
};

class Worker {
public:
    Worker(int listener, std::uint16_t upstream)
        : listener_(listener), upstream_(upstream), epoll_(checked(::epoll_create1(0), "epoll")) {
        watch(epoll_, listener_, EPOLLIN | EPOLLEXCLUSIVE, nullptr);
    }

    [[noreturn]] void run() {
        epoll_event events[kEventsMax];
        while (true) {
            const int count = ::epoll_wait(epoll_, events, kEventsMax, -1);
            for (int i = 0; i < count; ++i) {
                Side* const side = static_cast<Side*>(events[i].data.ptr);
                if (side == nullptr) {
                    accept_one();
                } else {
                    on_ready(*side, events[i].events);
                }
            }
            for (Side* const side : dead_) delete side;
            dead_.clear();
        }
    }

private:
    void accept_one() {
        const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
        if (fd < 0) return;  // The other worker has it.
        send_at_once(fd);
        Side* const client = new Side;
        Side* const server = new Side;
        client->fd = fd;
        server->fd = connect_to(upstream_);
        client->other = server;
        server->other = client;
        for (Side* const side : {client, server})
            watch(epoll_, side->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, side);
    }

    void on_ready(Side& side, std::uint32_t events) {
        if (side.fd < 0) return;  // Closed earlier in this turn.
        if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) side.can_read = true;
        const bool is_writable_again = (events & EPOLLOUT) != 0 && !side.can_write;
        if (is_writable_again) side.can_write = true;
        if (side.can_read && !pass(side)) return;
        if (is_writable_again) pass(*side.other);
    }

    // All that `from` has and the other takes. False where the connection is over.
    bool pass(Side& from) {
        Side& to = *from.other;
        while (true) {
            if (from.begin < from.end) {
                if (!to.can_write) return true;
                const std::size_t left = from.end - from.begin;
                const ssize_t sent =
                    ::send(to.fd, from.bytes + from.begin, left, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (sent < 0 && errno != EAGAIN) return close_both(from);
                from.begin += sent < 0 ? 0 : static_cast<std::size_t>(sent);
                if (from.begin < from.end) to.can_write = false;
                continue;
            }
            if (!from.can_read || from.has_ended) return true;
            const ssize_t got = ::recv(from.fd, from.bytes, kBufferBytes, MSG_DONTWAIT);
            if (got < 0 && errno != EAGAIN) return close_both(from);
            // A short read has emptied it: the kernel will tell of more.
            from.can_read = got == static_cast<ssize_t>(kBufferBytes);
            from.begin = 0;
            from.end = got < 0 ? 0 : static_cast<std::size_t>(got);
            if (got != 0) continue;
            from.has_ended = true;
            if (to.has_ended) return close_both(from);
            ::shutdown(to.fd, SHUT_WR);
        }
    }

    bool close_both(Side& side) {
        for (Side* const each : {&side, side.other}) {
            ::close(each->fd);
            each->fd = -1;
            dead_.push_back(each);
        }
        return false;
    }

    int listener_;
    std::uint16_t upstream_;
    int epoll_;
    std::vector<Side*> dead_;  // An event of this turn may still name them.
};

}  // namespace
}  // namespace thole::bench

int main(int count, char** words) {
    if (count != 2) return 2;
    const auto upstream = static_cast<std::uint16_t>(std::atoi(words[1]));
    const int listener = thole::bench::listen_anywhere();
    thole::bench::Worker first(listener, upstream), second(listener, upstream);
    std::thread other([&] { second.run(); });
    first.run();
}
