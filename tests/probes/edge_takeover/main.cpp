// Drives the probe: three backends, the edge, a load that checks every byte, a loop that removes
// endpoints, and kills.
//
//     edge_takeover [kills] [milliseconds between] [points]     defaults: 500 200; "points" kills
//     at crash points only
//
// Prints one line per measure; exit code 1 where a bar was missed.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "segment.h"

namespace probe {
namespace {

constexpr std::uint32_t kPosts = 1 << 20;

// What the backends tell the driver.
struct Witness {
    std::atomic<std::uint32_t> arrivals[kPosts];
    std::atomic<std::uint32_t> forbidden[kEndpoints];  // 1: only what is in `allowed` may come.
    std::atomic<std::uint32_t> allowed_count;
    std::uint64_t allowed[kListed];
    std::atomic<std::uint64_t> violations;
};

Segment* segment = nullptr;
Witness* witness = nullptr;
std::uint16_t edge_port = 0;
std::atomic<bool> stop{false};

std::uint64_t now_us() {
    timespec at{};
    ::clock_gettime(CLOCK_MONOTONIC, &at);
    return static_cast<std::uint64_t>(at.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(at.tv_nsec) / 1000;
}

void pause_us(std::uint64_t us) {
    timespec time{static_cast<time_t>(us / 1'000'000), static_cast<long>(us % 1'000'000) * 1000};
    ::nanosleep(&time, nullptr);
}

int listen_somewhere(std::uint16_t& port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0 || ::listen(fd, 1024) != 0)
        std::abort();
    socklen_t size = sizeof(at);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
    port = ntohs(at.sin_port);
    return fd;
}

char byte_at(std::uint64_t seed, std::uint64_t i) {
    return static_cast<char>('a' + (seed * 31 + i * 7 + i / 251) % 26);
}

// A blocking connection with a buffer.
class Connection {
public:
    explicit Connection(int fd) : fd_(fd) {
        const int one = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        timeval limit{10, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    }
    Connection(const Connection&) = delete;
    ~Connection() { ::close(fd_); }
    bool send(const std::string& text) {
        for (std::size_t at = 0; at < text.size();) {
            const ssize_t sent = ::send(fd_, text.data() + at, text.size() - at, MSG_NOSIGNAL);
            if (sent <= 0) return false;
            at += static_cast<std::size_t>(sent);
        }
        return true;
    }
    bool more() {
        char bytes[16384];
        const ssize_t got = ::recv(fd_, bytes, sizeof(bytes), 0);
        if (got <= 0) return false;
        buffer_.append(bytes, static_cast<std::size_t>(got));
        return true;
    }
    bool head(std::string& out) {
        std::size_t end = 0;
        while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
            if (!more()) return false;
        }
        out = buffer_.substr(0, end + 4);
        buffer_.erase(0, end + 4);
        return true;
    }
    bool bytes(std::size_t count, std::string& out) {
        while (buffer_.size() < count) {
            if (!more()) return false;
        }
        out = buffer_.substr(0, count);
        buffer_.erase(0, count);
        return true;
    }
    bool line(std::string& out) {
        std::size_t end = 0;
        while ((end = buffer_.find("\r\n")) == std::string::npos) {
            if (!more()) return false;
        }
        out = buffer_.substr(0, end);
        buffer_.erase(0, end + 2);
        return true;
    }
    bool chunked(std::string& out) {
        std::string text;
        while (true) {
            if (!line(text)) return false;
            const std::size_t size = std::strtoull(text.c_str(), nullptr, 16);
            std::string data;
            if (!bytes(size, data) || !line(text)) return false;
            if (size == 0) return true;
            out += data;
        }
    }

private:
    int fd_;
    std::string buffer_;
};

std::string field(const std::string& head, const std::string& name) {
    const std::size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const std::size_t from = at + name.size() + 4;
    return head.substr(from, head.find("\r\n", from) - from);
}

// ---- a backend: one process, a thread per connection ----
void serve_one(int fd, std::uint32_t number) {
    Connection connection(fd);
    std::string head;
    while (connection.head(head)) {
        const std::uint64_t id = std::strtoull(field(head, "X-Request-Id").c_str(), nullptr, 16);
        if (id == 0 || field(head, "traceparent").size() != 55) witness->violations.fetch_add(1);
        if (witness->forbidden[number].load() != 0) {
            const std::uint64_t* const end = witness->allowed + witness->allowed_count.load();
            if (std::find(static_cast<const std::uint64_t*>(witness->allowed), end, id) == end) {
                witness->violations.fetch_add(1);
                std::fprintf(stderr, "request %llx came to endpoint %u after the acknowledgement\n",
                             static_cast<unsigned long long>(id), number);
            }
        }
        const std::string path = head.substr(
            head.find(' ') + 1, head.find(' ', head.find(' ') + 1) - head.find(' ') - 1);
        const std::uint64_t seed = std::strtoull(path.c_str() + 3, nullptr, 10);
        std::string body;
        if (const std::string length = field(head, "Content-Length"); !length.empty()) {
            if (!connection.bytes(std::strtoull(length.c_str(), nullptr, 10), body)) return;
        } else if (field(head, "Transfer-Encoding") == "chunked") {
            if (!connection.chunked(body)) return;
        }
        std::string answer = "HTTP/1.1 200 OK\r\n";
        if (path[1] == 't') {
            if (!connection.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: "
                                 "Upgrade\r\n\r\n"))
                return;
            std::string block;
            while (connection.bytes(64, block) && connection.send(block)) {}
            return;
        }
        if (path[1] == 'p') witness->arrivals[seed].fetch_add(1);
        if (path[1] == 's') {  // A stream of 200 000 verifiable bytes in pieces.
            if (!connection.send(answer + "Content-Length: 200000\r\n\r\n")) return;
            for (std::uint64_t at = 0; at < 200'000; at += 20'000) {
                std::string piece;
                for (std::uint64_t i = at; i < at + 20'000; ++i) piece += byte_at(seed, i);
                if (!connection.send(piece)) return;
                pause_us(3000);
            }
            continue;
        }
        if (path[1] == 'c') {  // Chunked, 30 pieces of 1 000.
            if (!connection.send(answer + "Transfer-Encoding: chunked\r\n\r\n")) return;
            for (std::uint64_t at = 0; at < 30'000; at += 1000) {
                std::string piece = "3e8\r\n";
                for (std::uint64_t i = at; i < at + 1000; ++i) piece += byte_at(seed, i);
                if (!connection.send(piece + "\r\n")) return;
                pause_us(1000);
            }
            if (!connection.send("0\r\n\r\n")) return;
            continue;
        }
        const std::string text = path[1] == 'u' ? body : "you asked " + path;
        answer += "Content-Length: " + std::to_string(text.size()) + "\r\n\r\n" + text;
        if (!connection.send(answer)) return;
    }
}

[[noreturn]] void run_backend(int listener, std::uint32_t number) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) {
        const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd >= 0) std::thread(serve_one, fd, number).detach();
    }
}

// ---- the load ----
struct Tally {
    std::mutex lock;
    std::uint64_t good = 0, refused = 0, failed = 0, fresh = 0;
    std::vector<std::uint64_t> waits;
    void add(bool is_good, bool was_refused, bool is_fresh, std::uint64_t wait, const char* what) {
        const std::lock_guard<std::mutex> guard(lock);
        good += is_good ? 1 : 0;
        fresh += is_fresh ? 1 : 0;
        refused += was_refused ? 1 : 0;
        if (!is_good && !was_refused) {
            ++failed;
            if (failed < 20) std::fprintf(stderr, "failed: %s\n", what);
        }
        waits.push_back(wait);
    }
};

struct Tallies {
    Tally get, post, stream, chunked, upload, tunnel;
    std::atomic<std::uint64_t> tunnel_blocks{0};
    std::atomic<std::uint32_t> next_post{1};
};
Tallies tallies;

int connect_edge() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(edge_port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0) return fd;
    ::close(fd);
    return -1;
}

bool expect_stream(const std::string& body, std::uint64_t seed, std::size_t size) {
    if (body.size() != size) return false;
    for (std::size_t i = 0; i < size; ++i) {
        if (body[i] != byte_at(seed, i)) return false;
    }
    return true;
}

// One exchange; what went wrong is told in `why`.
bool exchange(Connection& connection, char kind, std::uint64_t seed, std::string& why) {
    const std::string path = std::string("/") + kind + "/" + std::to_string(seed);
    std::string text =
        (kind == 'p' || kind == 'u' ? "POST " : "GET ") + path + " HTTP/1.1\r\nHost: a\r\n";
    std::string sent;
    if (kind == 'p') {
        text += "Content-Length: 10\r\n\r\n0123456789";
    } else if (kind == 'u') {
        text += "Transfer-Encoding: chunked\r\n\r\n";
        for (int piece = 0; piece < 20; ++piece) {
            std::string data;
            for (std::uint64_t i = 0; i < 500; ++i) data += byte_at(seed, sent.size() + i);
            sent += data;
            text += "1f4\r\n" + data + "\r\n";
        }
        text += "0\r\n\r\n";
    } else {
        text += "\r\n";
    }
    const std::size_t half =
        seed % 3 == 0 ? text.size() / 2 : text.size();  // Some come in two parts.
    why = "send";
    if (!connection.send(text.substr(0, half))) return false;
    if (half < text.size()) {
        pause_us(2000);
        if (!connection.send(text.substr(half))) return false;
    }
    std::string head, body;
    why = "head";
    if (!connection.head(head)) return false;
    why = head.substr(0, 20);
    if (head.substr(9, 3) != "200" || field(head, "X-Request-Id").size() != 16) return false;
    why = "body";
    if (const std::string length = field(head, "Content-Length"); !length.empty()) {
        if (!connection.bytes(std::strtoull(length.c_str(), nullptr, 10), body)) return false;
    } else if (!connection.chunked(body)) {
        return false;
    }
    why = "wrong body";
    if (kind == 's') return expect_stream(body, seed, 200'000);
    if (kind == 'c') return expect_stream(body, seed, 30'000);
    if (kind == 'u') return body == sent;
    return body == "you asked " + path;
}

Tally& tally_of(char kind) {
    switch (kind) {
        case 'p': return tallies.post;
        case 's': return tallies.stream;
        case 'c': return tallies.chunked;
        case 'u': return tallies.upload;
        default: return tallies.get;
    }
}

void run_load(std::uint32_t number) {
    static constexpr char kKinds[] = "gggpgscgup";
    Connection* kept = nullptr;
    std::uint64_t round = number * 7919U;
    while (!stop.load()) {
        ++round;
        const char kind = kKinds[round % 10];
        const std::uint64_t seed = kind == 'p' ? tallies.next_post.fetch_add(1) : round;
        const bool is_fresh = kept == nullptr || round % 5 < 3;
        if (is_fresh) {
            delete kept;
            kept = nullptr;
        }
        const std::uint64_t began = now_us();
        if (kept == nullptr) {
            const int fd = connect_edge();
            if (fd < 0) {
                tally_of(kind).add(false, true, true, now_us() - began, "refused");
                continue;
            }
            kept = new Connection(fd);
        }
        std::string why;
        const bool good = exchange(*kept, kind, seed, why);
        tally_of(kind).add(good, false, is_fresh, now_us() - began,
                           (std::string(1, kind) + " " + why).c_str());
        if (!good) {
            delete kept;
            kept = nullptr;
        }
        pause_us(35'000 + round % 10'000);
    }
    delete kept;
}

void run_tunnel(std::uint32_t number) {
    const int fd = connect_edge();
    if (fd < 0) return tallies.tunnel.add(false, true, true, 0, "tunnel refused");
    Connection connection(fd);
    std::string head;
    bool good =
        connection.send(
            "GET /t/1 HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n") &&
        connection.head(head) && head.substr(9, 3) == "101";
    std::uint64_t sequence = 0;
    std::vector<std::string> flight;
    while (good && !stop.load()) {
        flight.clear();
        for (int i = 0; i < 8 && good; ++i) {
            char block[65];
            std::snprintf(block, sizeof(block), "%08u %055llu", number,
                          static_cast<unsigned long long>(++sequence));
            flight.emplace_back(block, 64);
            good = connection.send(flight.back());
        }
        for (const std::string& sent : flight) {
            std::string back;
            good = good && connection.bytes(64, back) && back == sent;
            tallies.tunnel_blocks.fetch_add(1);
        }
        pause_us(20'000);
    }
    tallies.tunnel.add(good, false, true, 0, "tunnel broken");
}

// Removes an endpoint, waits for the acknowledgement, lets nothing but what it lists come, puts it
// back.
std::atomic<std::uint64_t> removals{0};
void run_removals() {
    std::uint64_t sequence = 0;
    for (std::uint32_t turn = 0; !stop.load(); ++turn) {
        const std::uint32_t endpoint = turn % kEndpoints;
        const auto command = [&](std::uint32_t out) {
            segment->command_endpoint = endpoint;
            segment->command_out = out;
            segment->wanted.store(++sequence);
            while (segment->acknowledged.load() != sequence && !stop.load()) pause_us(200);
        };
        command(1);
        if (stop.load()) return;
        const std::uint32_t count = segment->listed.load();
        std::memcpy(witness->allowed, segment->list, sizeof(witness->allowed));
        witness->allowed_count.store(count);
        witness->forbidden[endpoint].store(1);
        pause_us(30'000);
        witness->forbidden[endpoint].store(0);
        command(0);
        removals.fetch_add(1);
        pause_us(10'000);
    }
}

std::uint64_t percentile(std::vector<std::uint64_t> values, double share) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

// Kills the edge and waits until its successor serves; microseconds, 0 where none came in 10 s.
std::uint64_t kill_once() {
    const std::uint32_t pid = segment->edge_pid.load();
    const std::uint32_t epoch = segment->epoch.load();
    const std::uint64_t began = now_us();
    if (::kill(static_cast<pid_t>(pid), SIGKILL) != 0) return 0;
    while (segment->serving_epoch.load() <= epoch) {
        if (now_us() - began > 10'000'000) return 0;
        pause_us(100);
    }
    return now_us() - began;
}

std::uint64_t crash_at(std::uint32_t point) {
    const std::uint32_t epoch = segment->epoch.load();
    segment->crash_point.store(point);
    const std::uint64_t began = now_us();
    while (segment->serving_epoch.load() <= epoch) {
        if (now_us() - began > 1'500'000) {  // Nobody came by that point.
            segment->crash_point.store(0);
            pause_us(1000);
            if (segment->serving_epoch.load() <= epoch && segment->epoch.load() == epoch) return 0;
        }
        if (now_us() - began > 12'000'000) return 0;
        pause_us(100);
    }
    return now_us() - began;
}

bool report(const char* name, const Tally& tally) {
    std::printf(
        "%-8s good %llu, new connections %llu, refused %llu, failed %llu, time p50 %.1f ms, p99 "
        "%.1f, max %.1f\n",
        name, static_cast<unsigned long long>(tally.good),
        static_cast<unsigned long long>(tally.fresh),
        static_cast<unsigned long long>(tally.refused),
        static_cast<unsigned long long>(tally.failed),
        static_cast<double>(percentile(tally.waits, 0.5)) / 1000,
        static_cast<double>(percentile(tally.waits, 0.99)) / 1000,
        static_cast<double>(percentile(tally.waits, 1.0)) / 1000);
    return tally.refused == 0 && tally.failed == 0 && tally.good > 0;
}

int run(int kills, std::uint64_t pause, bool at_points) {
    ::signal(SIGCHLD, SIG_IGN);
    ::signal(SIGPIPE, SIG_IGN);
    const int memory = static_cast<int>(::syscall(SYS_memfd_create, "segment", MFD_CLOEXEC));
    if (::ftruncate(memory, sizeof(Segment)) != 0) std::abort();
    segment = static_cast<Segment*>(
        ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
    witness = static_cast<Witness*>(::mmap(nullptr, sizeof(Witness), PROT_READ | PROT_WRITE,
                                           MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t backends[kEndpoints];
    for (std::uint32_t i = 0; i < kEndpoints; ++i) {
        std::uint16_t port = 0;
        const int listener = listen_somewhere(port);
        segment->endpoints[i] = {port, 1, 0};
        backends[i] = ::fork();
        if (backends[i] == 0) run_backend(listener, i);
        ::close(listener);
    }
    const int listener = listen_somewhere(edge_port);
    if (::fork() == 0) {
        ::fcntl(listener, F_SETFL, O_NONBLOCK);
        run_edge(*segment, listener);
    }
    ::fcntl(listener, F_SETFL, O_NONBLOCK);
    while (segment->serving_epoch.load() == 0) pause_us(1000);
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < 10; ++i) threads.emplace_back(run_load, i);
    for (std::uint32_t i = 0; i < 50; ++i) threads.emplace_back(run_tunnel, i);
    threads.emplace_back(run_removals);
    std::vector<std::uint64_t> back;
    int lost = 0, reached = 0;
    pause_us(500'000);
    for (int i = 0; i < kills; ++i) {
        const std::uint64_t took =
            at_points ? crash_at(static_cast<std::uint32_t>(i) % crash_points() + 1) : kill_once();
        if (took == 0 && !at_points) ++lost;
        if (took != 0) {
            back.push_back(took);
            ++reached;
        }
        pause_us(pause);
    }
    pause_us(500'000);
    stop.store(true);
    for (std::thread& thread : threads) thread.join();
    segment->stop.store(1);
    ::kill(static_cast<pid_t>(segment->edge_pid.load()), SIGKILL);
    for (const pid_t backend : backends) ::kill(backend, SIGKILL);
    std::uint64_t doubled = 0, missing = 0;
    for (std::uint32_t i = 1; i < tallies.next_post.load(); ++i) {
        doubled += witness->arrivals[i].load() > 1 ? 1U : 0U;
        missing += witness->arrivals[i].load() == 0 ? 1U : 0U;
    }
    std::printf(
        "%d kills (%d crash points), successors missing %d, kill to serving p50 %.1f ms, p99 %.1f, "
        "max %.1f\n",
        reached, at_points ? static_cast<int>(crash_points()) : 0, lost,
        static_cast<double>(percentile(back, 0.5)) / 1000,
        static_cast<double>(percentile(back, 0.99)) / 1000,
        static_cast<double>(percentile(back, 1.0)) / 1000);
    bool good = lost == 0;
    good = report("GET", tallies.get) && good;
    good = report("POST", tallies.post) && good;
    good = report("stream", tallies.stream) && good;
    good = report("chunked", tallies.chunked) && good;
    good = report("upload", tallies.upload) && good;
    good = report("tunnel", tallies.tunnel) && good;
    std::printf("tunnel blocks %llu\n",
                static_cast<unsigned long long>(tallies.tunnel_blocks.load()));
    std::printf(
        "POSTs doubled %llu, lost %llu; removals %llu, requests after an acknowledgement %llu\n",
        static_cast<unsigned long long>(doubled), static_cast<unsigned long long>(missing),
        static_cast<unsigned long long>(removals.load()),
        static_cast<unsigned long long>(witness->violations.load()));
    std::printf(
        "adopted %llu, fresh %llu, closed at adoption %llu, own 502 %llu, replays %llu; record %zu "
        "B, exchange %zu B\n",
        static_cast<unsigned long long>(segment->adopted.load()),
        static_cast<unsigned long long>(segment->fresh.load()),
        static_cast<unsigned long long>(segment->closed.load()),
        static_cast<unsigned long long>(segment->own_502.load()),
        static_cast<unsigned long long>(segment->replays.load()), sizeof(Record), sizeof(Exchange));
    good = good && doubled == 0 && missing == 0 && witness->violations.load() == 0 &&
           removals.load() > 0;
    std::printf("%s\n", good ? "all bars held" : "A BAR WAS MISSED");
    return good ? 0 : 1;
}

}  // namespace
}  // namespace probe

int main(int argc, char** argv) {
    const int kills = argc > 1 ? std::atoi(argv[1]) : 500;
    const std::uint64_t pause = argc > 2 ? std::strtoull(argv[2], nullptr, 10) * 1000 : 200'000;
    return probe::run(kills, pause, argc > 3 && std::string(argv[3]) == "points");
}
