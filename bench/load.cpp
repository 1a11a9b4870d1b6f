// Asks as fast as it is answered: some keep-alive connections, one request under way on each, every
// answer checked for its status and its size to the byte.
//
//     load <port> <connections> <bytes of the answer's body> [<bytes of the request's>]
//
// It connects and waits. For each number on a line of its input it makes that many requests and
// prints: requests, answers that were wrong, seconds, median and 99th percentile in microseconds.
// The connections stay, so that what is counted between two lines is requests and nothing else.
// A second number on the line is how many it begins in a second, whether or not earlier ones are
// answered; then a request's time begins when it was to be sent.
#include <strings.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/sockets.h"

namespace thole::bench {
namespace {

constexpr int kEventsMax = 128;
constexpr std::int64_t kAnswerNs = 10'000'000'000;
constexpr std::size_t kAnswerBytesMax = 64 * 1024;
constexpr std::string_view kHead = " /bench HTTP/1.1\r\nHost: bench\r\n";
constexpr std::string_view kLength = "\r\ncontent-length:";

struct Connection {
    int fd = -1;
    std::int64_t asked_ns = 0;
    std::size_t size = 0;
    char bytes[kAnswerBytesMax];
};

struct Run {
    std::int64_t wanted = 0, begun = 0, wrong = 0;
    std::int64_t from_ns = 0, apart_ns = 0;  // Of requests at a rate.
    std::vector<Connection*> idle;
    std::vector<std::int64_t> took_ns;
};

std::int64_t now_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

std::string make_request(std::size_t body) {
    if (body == 0) return "GET" + std::string(kHead) + "\r\n";
    return "POST" + std::string(kHead) + "Content-Length: " + std::to_string(body) + "\r\n\r\n" +
           std::string(body, 'x');
}

std::size_t content_length(std::string_view head) {
    for (std::size_t at = 0; at + kLength.size() < head.size(); ++at) {
        if (::strncasecmp(head.data() + at, kLength.data(), kLength.size()) == 0)
            return std::strtoul(head.data() + at + kLength.size(), nullptr, 10);
    }
    return 0;
}

class Load {
public:
    Load(std::uint16_t port, std::size_t connections, std::size_t body_bytes, std::string request)
        : body_bytes_(body_bytes),
          request_(std::move(request)),
          epoll_(checked(::epoll_create1(0), "epoll_create1")),
          connections_(connections) {
        for (Connection& connection : connections_) {
            connection.fd = connect_to(port);
            watch(epoll_, connection.fd, EPOLLIN, &connection);
        }
    }

    // At a rate: so many a second; 0: as fast as they are answered.
    void run(std::int64_t wanted, std::int64_t rate) {
        Run run;
        run.wanted = wanted;
        run.took_ns.reserve(static_cast<std::size_t>(wanted));
        run.from_ns = now_ns();
        run.apart_ns = rate > 0 ? 1'000'000'000 / rate : 0;
        for (Connection& connection : connections_) next(run, connection);
        while (static_cast<std::int64_t>(run.took_ns.size()) < wanted) {
            begin_what_is_due(run);
            hear_some(run);
        }
        print(run, now_ns() - run.from_ns);
    }

private:
    void next(Run& run, Connection& connection) const {
        if (run.apart_ns > 0) {
            run.idle.push_back(&connection);
        } else {
            ask(run, connection, now_ns());
        }
    }

    void begin_what_is_due(Run& run) const {
        while (run.apart_ns > 0 && !run.idle.empty() && run.begun < run.wanted) {
            const std::int64_t due_ns = run.from_ns + run.begun * run.apart_ns;
            if (due_ns > now_ns()) return;
            Connection& connection = *run.idle.back();
            run.idle.pop_back();
            ask(run, connection, due_ns);
        }
    }

    // Until the next request is due, where there is one to be sent.
    void hear_some(Run& run) const {
        std::int64_t wait_ns = kAnswerNs;
        const bool is_next = run.apart_ns > 0 && !run.idle.empty() && run.begun < run.wanted;
        if (is_next) {
            const std::int64_t due_ns = run.from_ns + run.begun * run.apart_ns;
            wait_ns = std::max<std::int64_t>(0, due_ns - now_ns());
        }
        const timespec wait{wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
        epoll_event events[kEventsMax];
        const int count = ::epoll_pwait2(epoll_, events, kEventsMax, &wait, nullptr);
        if (count == 0 && !is_next) {
            errno = ETIMEDOUT;
            die("no answer");
        }
        for (int i = 0; i < count; ++i) hear(run, *static_cast<Connection*>(events[i].data.ptr));
    }

    void ask(Run& run, Connection& connection, std::int64_t asked_ns) const {
        if (run.begun == run.wanted) return;
        ++run.begun;
        connection.size = 0;
        connection.asked_ns = asked_ns;
        const ssize_t sent = ::send(connection.fd, request_.data(), request_.size(), MSG_NOSIGNAL);
        if (sent != static_cast<ssize_t>(request_.size())) die("send");
    }

    void hear(Run& run, Connection& connection) const {
        const ssize_t got = ::recv(connection.fd, connection.bytes + connection.size,
                                   kAnswerBytesMax - connection.size, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) die("the answer was cut short");
        connection.size += static_cast<std::size_t>(got);
        const std::string_view answer(connection.bytes, connection.size);
        const std::size_t head = answer.find("\r\n\r\n");
        if (head == std::string_view::npos) return;
        const std::size_t body = connection.size - head - 4;
        const std::size_t promised = content_length(answer.substr(0, head));
        if (body < promised) return;
        run.took_ns.push_back(now_ns() - connection.asked_ns);
        if (!answer.starts_with("HTTP/1.1 200 ") || promised != body_bytes_ || body != promised)
            ++run.wrong;
        next(run, connection);
    }

    static void print(Run& run, std::int64_t ns) {
        const auto part = [&](double share) {
            const auto at =
                static_cast<std::ptrdiff_t>(share * static_cast<double>(run.took_ns.size() - 1));
            std::nth_element(run.took_ns.begin(), run.took_ns.begin() + at, run.took_ns.end());
            return static_cast<double>(run.took_ns[static_cast<std::size_t>(at)]) / 1e3;
        };
        const double p50 = part(0.5), p99 = part(0.99);
        std::printf("%zu %lld %.6f %.1f %.1f\n", run.took_ns.size(),
                    static_cast<long long>(run.wrong), static_cast<double>(ns) / 1e9, p50, p99);
        std::fflush(stdout);
    }

    std::size_t body_bytes_;
    std::string request_;
    int epoll_;
    std::vector<Connection> connections_;
};

}  // namespace
}  // namespace thole::bench

int main(int count, char** words) {
    if (count != 4 && count != 5) return 2;
    ::prctl(PR_SET_TIMERSLACK, 1UL);  // Nanoseconds: else each wait is 50 us longer.
    const int body = count == 5 ? std::atoi(words[4]) : 0;
    thole::bench::Load load(static_cast<std::uint16_t>(std::atoi(words[1])),
                            static_cast<std::size_t>(std::atoi(words[2])),
                            static_cast<std::size_t>(std::atoi(words[3])),
                            thole::bench::make_request(static_cast<std::size_t>(body)));
    char line[64];
    while (std::fgets(line, sizeof(line), stdin) != nullptr) {
        long long wanted = 0, rate = 0;
        if (std::sscanf(line, "%lld %lld", &wanted, &rate) < 1 || wanted <= 0) break;
        load.run(wanted, rate);
    }
}
