// The service behind both: answers every GET with as many bytes as it was told, on one epoll loop,
// and closes nothing by itself.
//
//     upstream <bytes of the answer's body>    prints its port
#include <cerrno>
#include <string>
#include <string_view>

#include "bench/sockets.h"

namespace thole::bench {
namespace {

constexpr int kEventsMax = 128;
constexpr std::string_view kHeadEnd = "\r\n\r\n";

struct Connection {
    int fd = -1;
    std::size_t matched = 0;  // Of the end of a head.
};

std::string make_answer(int size) {
    return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
           std::to_string(size) + "\r\n\r\n" + std::string(static_cast<std::size_t>(size), 'x');
}

// How many heads end in these bytes. None of the requests has a body.
int heads_in(std::string_view bytes, std::size_t& matched) {
    int heads = 0;
    for (const char byte : bytes) {
        matched = byte == kHeadEnd[matched] ? matched + 1 : (byte == '\r' ? 1 : 0);
        if (matched < kHeadEnd.size()) continue;
        matched = 0;
        ++heads;
    }
    return heads;
}

// False where the client is gone.
bool serve(Connection& connection, const std::string& answer) {
    char bytes[16 * 1024];
    const ssize_t got = ::recv(connection.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    int heads = heads_in({bytes, static_cast<std::size_t>(got)}, connection.matched);
    while (heads-- > 0) {
        std::size_t sent = 0;
        while (sent < answer.size()) {  // Waits: our answers fit into a socket's buffer.
            const ssize_t now =
                ::send(connection.fd, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
            if (now < 0) return false;
            sent += static_cast<std::size_t>(now);
        }
    }
    return true;
}

[[noreturn]] void run(const std::string& answer) {
    const int listener = listen_anywhere();
    const int epoll = checked(::epoll_create1(0), "epoll_create1");
    watch(epoll, listener, EPOLLIN, nullptr);
    epoll_event events[kEventsMax];
    while (true) {
        const int count = ::epoll_wait(epoll, events, kEventsMax, -1);
        for (int i = 0; i < count; ++i) {
            Connection* connection = static_cast<Connection*>(events[i].data.ptr);
            if (connection != nullptr) {
                if (serve(*connection, answer)) continue;
                ::close(connection->fd);
                delete connection;
                continue;
            }
            const int fd = ::accept4(listener, nullptr, nullptr, 0);
            if (fd < 0) continue;
            send_at_once(fd);
            watch(epoll, fd, EPOLLIN, new Connection{fd, 0});
        }
    }
}

}  // namespace
}  // namespace thole::bench

int main(int count, char** words) {
    if (count != 2) return 2;
    thole::bench::run(thole::bench::make_answer(std::atoi(words[1])));
}
