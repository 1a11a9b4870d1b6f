// The service behind all: answers every request with as many bytes as it was told, on one epoll
// loop, and closes nothing by itself. All requests have bodies of one size.
//
//     upstream <bytes of the answer's body> [<bytes of the request's>]    prints its port
#include <algorithm>
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
    std::size_t left = 0;     // Of the body.
};

std::string make_answer(int size) {
    return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
           std::to_string(size) + "\r\n\r\n" + std::string(static_cast<std::size_t>(size), 'x');
}

// How many requests end in these bytes.
int requests_in(std::string_view bytes, Connection& of, std::size_t body) {
    int requests = 0;
    while (!bytes.empty()) {
        if (of.left > 0) {
            const std::size_t passed = std::min(of.left, bytes.size());
            of.left -= passed;
            bytes.remove_prefix(passed);
            requests += of.left == 0 ? 1 : 0;
            continue;
        }
        const char byte = bytes.front();
        bytes.remove_prefix(1);
        of.matched = byte == kHeadEnd[of.matched] ? of.matched + 1 : (byte == '\r' ? 1 : 0);
        if (of.matched < kHeadEnd.size()) continue;
        of.matched = 0;
        of.left = body;
        requests += body == 0 ? 1 : 0;
    }
    return requests;
}

// False where the client is gone.
bool serve(Connection& connection, const std::string& answer, std::size_t body) {
    char bytes[16 * 1024];
    const ssize_t got = ::recv(connection.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    int requests = requests_in({bytes, static_cast<std::size_t>(got)}, connection, body);
    while (requests-- > 0) {
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

[[noreturn]] void run(const std::string& answer, std::size_t body) {
    const int listener = listen_anywhere();
    const int epoll = checked(::epoll_create1(0), "epoll_create1");
    watch(epoll, listener, EPOLLIN, nullptr);
    epoll_event events[kEventsMax];
    while (true) {
        const int count = ::epoll_wait(epoll, events, kEventsMax, -1);
        for (int i = 0; i < count; ++i) {
            Connection* connection = static_cast<Connection*>(events[i].data.ptr);
            if (connection != nullptr) {
                if (serve(*connection, answer, body)) continue;
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
    if (count != 2 && count != 3) return 2;
    const int body = count == 3 ? std::atoi(words[2]) : 0;
    thole::bench::run(thole::bench::make_answer(std::atoi(words[1])),
                      static_cast<std::size_t>(body));
}
