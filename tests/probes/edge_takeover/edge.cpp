// The probe's edge: two workers, a holder that shares their descriptor table and becomes the edge
// on their death. Only what the question needs: HTTP/1.1 from well-behaved peers, heads rewritten,
// bodies and tunnels passed on.
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "segment.h"

namespace probe {
namespace {

// As in the kernel's tcp_states.h; glibc's header and the kernel's cannot both be included.
enum {
    kSynSent = 2,
    kFinWait1 = 4,
    kFinWait2 = 5,
    kTimeWait = 6,
    kClosed = 7,
    kCloseWait = 8,
    kLastAck = 9,
    kClosing = 11
};

Segment* shared = nullptr;
int listener_fd = -1;
int own_pidfd = -1;  // Opened before the holder is cloned, who waits on it.
std::atomic<std::uint64_t> stored{
    0};  // The command that stands in the table: workers may apply it.

enum { kPointBase = __COUNTER__ };
#define POINT()                                                             \
    do {                                                                    \
        constexpr std::uint32_t point = __COUNTER__ - kPointBase;           \
        if (shared->crash_point.load(std::memory_order_relaxed) == point) { \
            shared->crash_point.store(0, std::memory_order_relaxed);        \
            ::kill(::getpid(), SIGKILL);                                    \
            for (;;) ::pause();                                             \
        }                                                                   \
    } while (false)

// A SIGKILL is a crash of the same thread: the compiler's order is the order that counts.
void fence() { std::atomic_signal_fence(std::memory_order_seq_cst); }

// Private state of one socket; all of it is found again from the kernel and the record.
struct Socket {
    std::uint64_t in = 0;         // Bytes read by us.
    std::uint64_t out = 0;        // Bytes written by us.
    std::uint32_t other = kNone;  // Upstream: its client.
    bool is_open = false, can_read = false, can_write = false, ended = false, broken = false;
    bool is_connecting = false;
};

struct Worker {
    int epoll = -1;
    int wake = -1;
    std::vector<std::uint32_t> rings, heads;  // Free ones.
    std::vector<std::uint32_t> idle[kEndpoints];
    std::vector<std::uint32_t> clients;
    std::atomic<std::uint64_t> applied{0};
    std::vector<std::uint64_t> in_flight;  // For main, valid once applied.
    std::vector<std::uint32_t> waiting;    // Clients without an endpoint, or to be looked at again.
};

Socket sockets[kDescriptorsMax];
Worker* workers = nullptr;

Record& record_of(std::uint32_t fd) { return shared->records[fd]; }
Exchange& current(Record& record) { return record.exchange[record.commit & 1]; }

// Changes the exchange by a function; the new copy counts from one store on.
template <typename Change>
void commit(Record& record, Change change) {
    Exchange& next = record.exchange[(record.commit + 1) & 1];
    next = current(record);
    change(next);
    fence();
    POINT();
    record.commit = record.commit + 1;
    fence();
    POINT();
}

std::uint64_t cookie_of(int fd) {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size);
    return cookie;
}

// What we have read from and written to a socket, as the kernel knows it.
bool positions_of(int fd, bool we_connected, std::uint64_t& in, std::uint64_t& out) {
    for (int tries = 0; tries < 100; ++tries) {
        tcp_info before{}, after{};
        socklen_t size = sizeof(before);
        int unread = 0, unsent = 0;
        if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &before, &size) != 0) return false;
        if (::ioctl(fd, SIOCINQ, &unread) != 0 || ::ioctl(fd, SIOCOUTQ, &unsent) != 0) return false;
        size = sizeof(after);
        if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &after, &size) != 0) return false;
        if (before.tcpi_bytes_received != after.tcpi_bytes_received ||
            before.tcpi_bytes_acked != after.tcpi_bytes_acked ||
            before.tcpi_state != after.tcpi_state) {
            continue;
        }
        const int state = after.tcpi_state;
        if (state == kClosed) return false;
        const bool fin =
            state == kCloseWait || state == kLastAck || state == kClosing || state == kTimeWait;
        const bool is_shut =
            state == kFinWait1 || state == kFinWait2 || state == kLastAck || state == kClosing;
        if (state == kSynSent) {
            in = out = 0;
            return true;
        }
        in = std::uint64_t{after.tcpi_bytes_received} - static_cast<std::uint64_t>(unread) -
             (fin ? 1U : 0U);
        out = std::uint64_t{after.tcpi_bytes_acked} + static_cast<std::uint64_t>(unsent) -
              (we_connected ? 1U : 0U) - (is_shut ? 1U : 0U);
        return true;
    }
    return false;
}

// ---- chunked bodies: passed on unchanged, parsed only to find the end ----
enum ChunkState : std::uint32_t {
    kSize,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailer,
    kTrailerLf,
    kChunksDone,
    kChunksBad
};

void step_chunks(Chunks& chunks, char c) {
    const auto digit = [](char x) -> int {
        if (x >= '0' && x <= '9') return x - '0';
        if (x >= 'a' && x <= 'f') return x - 'a' + 10;
        if (x >= 'A' && x <= 'F') return x - 'A' + 10;
        return -1;
    };
    switch (chunks.state) {
        case kSize:
            if (digit(c) >= 0)
                chunks.left = chunks.left * 16 + static_cast<std::uint64_t>(digit(c));
            else
                chunks.state = c == '\r' ? kSizeLf : kChunksBad;
            break;
        case kSizeLf:
            chunks.state = c != '\n' ? kChunksBad : chunks.left == 0 ? kTrailer : kData;
            chunks.line = 0;
            break;
        case kData: break;
        case kDataCr: chunks.state = c == '\r' ? kDataLf : kChunksBad; break;
        case kDataLf:
            chunks.state = c == '\n' ? kSize : kChunksBad;
            chunks.left = 0;
            break;
        case kTrailer:
            if (c == '\r')
                chunks.state = kTrailerLf;
            else
                ++chunks.line;
            break;
        case kTrailerLf:
            chunks.state = c != '\n' ? kChunksBad : chunks.line == 0 ? kChunksDone : kTrailer;
            chunks.line = 0;
            break;
        default: break;
    }
}

// ---- the ring of a socket ----
std::string_view ring_piece(std::uint32_t ring, std::uint64_t from, std::uint64_t to) {
    const std::uint64_t index = from % kRingBytes;
    const std::uint64_t size = std::min<std::uint64_t>(to - from, kRingBytes - index);
    return {shared->rings[ring] + index, size};
}

std::string ring_text(std::uint32_t ring, std::uint64_t from, std::uint64_t to) {
    std::string text(ring_piece(ring, from, to));
    if (text.size() < to - from) text += ring_piece(ring, from + text.size(), to);
    return text;
}

class Edge {
public:
    explicit Edge(Worker& worker, std::uint32_t number) : worker_(worker), number_(number) {}
    void run();
    void close_client(std::uint32_t fd);
    void step(std::uint32_t fd);
    void watch(std::uint32_t fd);
    void close_socket(std::uint32_t fd);

private:
    void accept_all();
    bool receive(std::uint32_t fd, std::uint64_t keep_from);
    bool parse_request(std::uint32_t fd);
    bool attach(std::uint32_t fd);
    bool parse_response(std::uint32_t fd);
    bool flush(Flow& flow, std::uint32_t from, std::uint32_t to);
    void advance_chunks(Record& record, bool is_request, std::uint64_t in);
    void finish(std::uint32_t fd);
    void lost_upstream(std::uint32_t fd);
    void answer_502(std::uint32_t fd);
    void tunnel(std::uint32_t fd);
    void apply_command();
    void drop_upstream(std::uint32_t upstream);

    Worker& worker_;
    std::uint32_t number_;
};

// How far the input of a flow has left through its output.
std::uint64_t forwarded(const Flow& flow, std::uint64_t out) {
    const std::uint64_t body_out = flow.out_start + flow.head_bytes;
    return out <= body_out ? flow.in_body : flow.in_body + (out - body_out);
}

std::uint64_t limit_of(const Flow& flow, std::uint64_t in) {
    if (flow.framing == kNoBody) return flow.in_body;
    if (flow.framing == kLength) return std::min(in, flow.in_end);
    if (flow.framing == kChunked) return std::min(flow.in_parsed, flow.in_end);
    return in;
}

bool is_complete(const Flow& flow, std::uint64_t out, bool source_ended, std::uint64_t in) {
    if (out < flow.out_start + flow.head_bytes) return false;
    if (flow.framing == kUntilClose) return source_ended && forwarded(flow, out) == in;
    return flow.in_end != kUnknown && forwarded(flow, out) == flow.in_end;
}

void Edge::watch(std::uint32_t fd) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.u32 = fd;
    ::epoll_ctl(worker_.epoll, EPOLL_CTL_ADD, static_cast<int>(fd), &event);
}

void Edge::close_socket(std::uint32_t fd) {
    Record& record = record_of(fd);
    record.kind = kFree;
    fence();
    POINT();
    if (record.ring != kNone) worker_.rings.push_back(record.ring);
    record.ring = kNone;
    sockets[fd] = Socket{};
    ::close(static_cast<int>(fd));
}

void Edge::drop_upstream(std::uint32_t upstream) {
    if (upstream != kNone && sockets[upstream].is_open) close_socket(upstream);
}

void Edge::close_client(std::uint32_t fd) {
    Record& record = record_of(fd);
    const Exchange exchange = current(record);
    for (const Flow* flow : {&exchange.request, &exchange.response}) {
        if (flow->head != kNone) worker_.heads.push_back(flow->head);
    }
    record.kind = kFree;
    fence();
    if (exchange.upstream != kNone) drop_upstream(exchange.upstream);
    worker_.clients.erase(std::remove(worker_.clients.begin(), worker_.clients.end(), fd),
                          worker_.clients.end());
    close_socket(fd);
}

void open_record(std::uint32_t fd, Kind kind, std::uint32_t endpoint, std::uint32_t generation) {
    Record& record = record_of(fd);
    record.cookie = cookie_of(static_cast<int>(fd));
    record.ring = kNone;
    record.endpoint = endpoint;
    record.generation = generation;
    record.shut = 0;
    record.commit = 0;
    Exchange& exchange = record.exchange[0];
    std::memset(&exchange, 0, sizeof(exchange));
    exchange.phase = kReading;
    exchange.upstream = kNone;
    exchange.request.head = kNone;
    exchange.response.head = kNone;
    fence();
    POINT();
    record.kind = kind;
    fence();
}

void Edge::accept_all() {
    for (int i = 0; i < 16; ++i) {
        const int fd = ::accept4(listener_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        POINT();
        const auto number = static_cast<std::uint32_t>(fd);
        if (number >= kDescriptorsMax) {
            ::close(fd);
            continue;
        }
        sockets[number] = Socket{};
        sockets[number].is_open = true;
        open_record(number, kClient, 0, 0);
        worker_.clients.push_back(number);
        watch(number);
    }
}

// Reads once into the ring; false where nothing came. What is at or after `keep_from` is still
// needed.
bool Edge::receive(std::uint32_t fd, std::uint64_t keep_from) {
    Socket& socket = sockets[fd];
    Record& record = record_of(fd);
    if (!socket.can_read || socket.ended) return false;
    if (record.ring == kNone) {
        if (worker_.rings.empty()) return false;
        record.ring = worker_.rings.back();
        worker_.rings.pop_back();
        fence();
    }
    const std::uint64_t space = keep_from + kRingBytes - socket.in;
    if (space == 0) return false;
    const std::uint64_t index = socket.in % kRingBytes;
    iovec parts[2];
    const std::uint64_t first = std::min<std::uint64_t>(space, kRingBytes - index);
    parts[0] = {shared->rings[record.ring] + index, first};
    parts[1] = {shared->rings[record.ring], space - first};
    const ssize_t got = ::readv(static_cast<int>(fd), parts, parts[1].iov_len > 0 ? 2 : 1);
    POINT();
    if (got < 0) {
        if (errno == EAGAIN)
            socket.can_read = false;
        else if (errno != EINTR)
            socket.ended = socket.broken = true;
        return false;
    }
    if (got == 0) {
        socket.ended = true;
        return true;
    }
    socket.in += static_cast<std::uint64_t>(got);
    return true;
}

std::string_view field_of(std::string_view head, std::string_view name) {
    std::size_t at = head.find("\r\n") + 2;
    while (at < head.size()) {
        const std::size_t end = head.find("\r\n", at);
        const std::string_view line = head.substr(at, end - at);
        if (line.size() > name.size() && line[name.size()] == ':' &&
            ::strncasecmp(line.data(), name.data(), name.size()) == 0) {
            std::string_view value = line.substr(name.size() + 1);
            while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
            return value;
        }
        if (end == std::string_view::npos) break;
        at = end + 2;
    }
    return {};
}

// The framing of a body that begins at `in_body`.
void set_framing(Flow& flow, std::string_view head, std::uint64_t in_body, Framing otherwise) {
    flow.in_body = in_body;
    flow.in_parsed = in_body;
    flow.chunks = Chunks{};
    flow.in_end = in_body;
    flow.framing = otherwise;
    if (field_of(head, "Transfer-Encoding") == "chunked") {
        flow.framing = kChunked;
        flow.in_end = kUnknown;
    } else if (const std::string_view length = field_of(head, "Content-Length"); !length.empty()) {
        flow.framing = kLength;
        flow.in_end = in_body + std::strtoull(std::string(length).c_str(), nullptr, 10);
    } else if (otherwise == kUntilClose) {
        flow.in_end = kUnknown;
    }
}

// Writes the head with `added` after its first line into a block; kNone where it does not fit.
std::uint32_t write_head(Worker& worker, std::string_view head, std::string_view added,
                         std::uint32_t& bytes) {
    if (worker.heads.empty() || head.size() + added.size() > kHeadBytes) return kNone;
    const std::uint32_t block = worker.heads.back();
    worker.heads.pop_back();
    const std::size_t line = head.find("\r\n") + 2;
    char* to = shared->heads[block];
    std::memcpy(to, head.data(), line);
    std::memcpy(to + line, added.data(), added.size());
    std::memcpy(to + line + added.size(), head.data() + line, head.size() - line);
    bytes = static_cast<std::uint32_t>(head.size() + added.size());
    return block;
}

bool Edge::parse_request(std::uint32_t fd) {
    Record& record = record_of(fd);
    const Exchange& now = current(record);
    const Socket& socket = sockets[fd];
    if (record.ring == kNone || socket.in == now.in_start) return false;
    const std::string text = ring_text(record.ring, now.in_start, socket.in);
    const std::size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::string_view head = std::string_view(text).substr(0, end + 4);
    const std::uint64_t id = shared->next_id.fetch_add(1) + 1;
    char added[128];
    std::snprintf(added, sizeof(added),
                  "X-Request-Id: %016llx\r\ntraceparent: 00-%016llx%016llx-%016llx-01\r\n",
                  static_cast<unsigned long long>(id), static_cast<unsigned long long>(id),
                  static_cast<unsigned long long>(id), static_cast<unsigned long long>(id));
    std::uint32_t bytes = 0;
    const std::uint32_t block = write_head(worker_, head, added, bytes);
    if (block == kNone) return false;
    POINT();
    commit(record, [&](Exchange& next) {
        next.phase = kReady;
        next.attempts = 0;
        next.upstream = kNone;
        next.id = id;
        next.is_own = 0;
        next.is_idempotent = head.substr(0, 4) == "GET " ? 1 : 0;
        next.keep_alive = field_of(head, "Connection") == "close" ? 0 : 1;
        next.wants_tunnel = field_of(head, "Upgrade").empty() ? 0 : 1;
        set_framing(next.request, head, next.in_start + head.size(), kNoBody);
        next.request.head = block;
        next.request.head_bytes = bytes;
    });
    return true;
}

bool Edge::attach(std::uint32_t fd) {
    Record& record = record_of(fd);
    static thread_local std::uint32_t turn = 0;
    for (std::uint32_t tried = 0; tried < kEndpoints; ++tried) {
        const std::uint32_t number = ++turn % kEndpoints;
        const Endpoint& endpoint = shared->endpoints[number];
        if (endpoint.out != 0) continue;
        std::uint32_t upstream = kNone;
        std::vector<std::uint32_t>& idle = worker_.idle[number];
        while (!idle.empty() && upstream == kNone) {
            upstream = idle.back();
            idle.pop_back();
            if (!sockets[upstream].is_open || record_of(upstream).generation != endpoint.generation)
                upstream = kNone;
        }
        if (upstream == kNone) {
            const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            if (made < 0 || made >= static_cast<int>(kDescriptorsMax)) {
                if (made >= 0) ::close(made);
                return false;
            }
            upstream = static_cast<std::uint32_t>(made);
            sockaddr_in to{};
            to.sin_family = AF_INET;
            to.sin_port = htons(static_cast<std::uint16_t>(endpoint.port));
            to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            POINT();
            const int connected = ::connect(made, reinterpret_cast<sockaddr*>(&to), sizeof(to));
            if (connected != 0 && errno != EINPROGRESS) {
                ::close(made);
                continue;
            }
            POINT();
            sockets[upstream] = Socket{};
            sockets[upstream].is_open = true;
            sockets[upstream].is_connecting = connected != 0;
            open_record(upstream, kBusy, number, endpoint.generation);
            watch(upstream);
        } else {
            record_of(upstream).kind = kBusy;
            fence();
            POINT();
        }
        sockets[upstream].other = fd;
        commit(record, [&](Exchange& next) {
            next.phase = kAttached;
            next.attempts += 1;
            next.upstream = upstream;
            next.upstream_cookie = record_of(upstream).cookie;
            next.upstream_in_start = sockets[upstream].in;
            next.endpoint = number;
            next.request.out_start = sockets[upstream].out;
        });
        return true;
    }
    return false;
}

void Edge::advance_chunks(Record& record, bool is_request, std::uint64_t in) {
    const Exchange& now = current(record);
    const Flow& flow = is_request ? now.request : now.response;
    if (flow.framing != kChunked || flow.in_end != kUnknown || flow.in_parsed >= in) return;
    Chunks chunks = flow.chunks;
    std::uint64_t at = flow.in_parsed;
    const std::uint32_t ring = is_request ? record.ring : record_of(now.upstream).ring;
    while (at < in && chunks.state != kChunksDone && chunks.state != kChunksBad) {
        if (chunks.state == kData) {
            const std::uint64_t taken = std::min(chunks.left, in - at);
            chunks.left -= taken;
            at += taken;
            if (chunks.left == 0) chunks.state = kDataCr;
        } else {
            step_chunks(chunks, shared->rings[ring][at % kRingBytes]);
            ++at;
        }
    }
    commit(record, [&](Exchange& next) {
        Flow& changed = is_request ? next.request : next.response;
        changed.chunks = chunks;
        changed.in_parsed = at;
        if (chunks.state == kChunksDone) changed.in_end = at;
    });
}

// Writes what the flow may pass on. False where nothing could be written.
bool Edge::flush(Flow& flow, std::uint32_t from, std::uint32_t to) {
    Socket& target = sockets[to];
    if (target.is_connecting || !target.can_write || target.broken) return false;
    iovec parts[3];
    int count = 0;
    const std::uint64_t offset = target.out - flow.out_start;
    if (offset < flow.head_bytes) {
        parts[count++] = {shared->heads[flow.head] + offset, flow.head_bytes - offset};
    }
    const std::uint64_t at = forwarded(flow, target.out);
    const std::uint64_t limit = from == kNone ? flow.in_body : limit_of(flow, sockets[from].in);
    if (limit > at) {
        const std::uint32_t ring = record_of(from).ring;
        const std::string_view first = ring_piece(ring, at, limit);
        parts[count++] = {const_cast<char*>(first.data()), first.size()};
        if (first.size() < limit - at) {
            const std::string_view second = ring_piece(ring, at + first.size(), limit);
            parts[count++] = {const_cast<char*>(second.data()), second.size()};
        }
    }
    if (count == 0) return false;
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = static_cast<std::size_t>(count);
    POINT();
    const ssize_t sent = ::sendmsg(static_cast<int>(to), &message, MSG_NOSIGNAL);
    POINT();
    if (sent < 0) {
        if (errno == EAGAIN)
            target.can_write = false;
        else if (errno != EINTR)
            target.broken = true;
        return false;
    }
    target.out += static_cast<std::uint64_t>(sent);
    return sent > 0;
}

bool Edge::parse_response(std::uint32_t fd) {
    Record& record = record_of(fd);
    const Exchange& now = current(record);
    const Socket& upstream = sockets[now.upstream];
    const std::uint32_t ring = record_of(now.upstream).ring;
    if (ring == kNone || upstream.in == now.upstream_in_start) return false;
    const std::string text = ring_text(ring, now.upstream_in_start, upstream.in);
    const std::size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::string_view head = std::string_view(text).substr(0, end + 4);
    char added[64];
    std::snprintf(added, sizeof(added), "X-Request-Id: %016llx\r\n",
                  static_cast<unsigned long long>(now.id));
    std::uint32_t bytes = 0;
    const std::uint32_t block = write_head(worker_, head, added, bytes);
    if (block == kNone) return false;
    const bool is_tunnel = head.substr(9, 3) == "101";
    POINT();
    commit(record, [&](Exchange& next) {
        next.phase = is_tunnel ? kTunnel : kAnswering;
        set_framing(next.response, head, next.upstream_in_start + head.size(), kUntilClose);
        next.response.head = block;
        next.response.head_bytes = bytes;
        next.response.out_start = sockets[fd].out;
        if (is_tunnel) {  // Everything after the request is the tunnel's.
            next.request.framing = kUntilClose;
            next.request.in_end = kUnknown;
        }
    });
    return true;
}

void Edge::finish(std::uint32_t fd) {
    Record& record = record_of(fd);
    const Exchange before = current(record);
    const bool reuse = before.response.framing != kUntilClose && before.upstream != kNone &&
                       is_complete(before.request, sockets[before.upstream].out, false, 0);
    const bool goes_on = before.keep_alive != 0 && before.response.framing != kUntilClose &&
                         (before.upstream == kNone || reuse);
    if (!goes_on) {
        record.shut = 1;  // Intent: all is passed on, and a successor only has to close.
        fence();
        POINT();
        ::shutdown(static_cast<int>(fd), SHUT_WR);
        POINT();
        return close_client(fd);
    }
    commit(record, [&](Exchange& next) {
        next.phase = kReading;
        next.in_start = before.request.in_end;
        next.upstream = kNone;
        next.request.head = kNone;
        next.response.head = kNone;
    });
    for (const Flow* flow : {&before.request, &before.response}) {
        if (flow->head != kNone) worker_.heads.push_back(flow->head);
    }
    if (before.upstream != kNone) {
        Socket& upstream = sockets[before.upstream];
        Record& other = record_of(before.upstream);
        upstream.other = kNone;
        if (reuse && !upstream.ended && upstream.in == before.response.in_end &&
            shared->endpoints[other.endpoint].out == 0) {
            other.idle_in = upstream.in;
            other.idle_out = upstream.out;
            fence();
            POINT();
            other.kind = kIdle;
            worker_.idle[other.endpoint].push_back(before.upstream);
        } else {
            close_socket(before.upstream);
        }
    }
}

void Edge::answer_502(std::uint32_t fd) {
    Record& record = record_of(fd);
    drop_upstream(current(record).upstream);
    if (worker_.heads.empty()) return close_client(fd);
    static constexpr std::string_view kText =
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const std::uint32_t block = worker_.heads.back();
    worker_.heads.pop_back();
    std::memcpy(shared->heads[block], kText.data(), kText.size());
    shared->own_502.fetch_add(1);
    commit(record, [&](Exchange& next) {
        next.phase = kAnswering;
        next.upstream = kNone;
        next.is_own = 1;
        next.keep_alive = 0;
        next.response = Flow{};
        next.response.framing = kNoBody;
        next.response.head = block;
        next.response.head_bytes = static_cast<std::uint32_t>(kText.size());
        next.response.out_start = sockets[fd].out;
    });
}

// The upstream went away before it answered.
void Edge::lost_upstream(std::uint32_t fd) {
    Record& record = record_of(fd);
    const Exchange& now = current(record);
    const bool none_sent = sockets[now.upstream].out == now.request.out_start;
    if ((none_sent || now.is_idempotent != 0) && now.attempts < 3) {
        shared->replays.fetch_add(1);
        const std::uint32_t old = now.upstream;
        commit(record, [&](Exchange& next) {
            next.phase = kReady;
            next.upstream = kNone;
        });
        drop_upstream(old);
        return;
    }
    answer_502(fd);
}

void Edge::tunnel(std::uint32_t fd) {
    Record& record = record_of(fd);
    Exchange& now = current(record);
    const std::uint32_t upstream = now.upstream;
    for (bool moved = true; moved;) {
        moved = receive(fd, forwarded(now.request, sockets[upstream].out));
        moved = receive(upstream, forwarded(now.response, sockets[fd].out)) || moved;
        moved = flush(now.request, fd, upstream) || moved;
        moved = flush(now.response, upstream, fd) || moved;
    }
    if (sockets[fd].broken || sockets[upstream].broken ||
        (sockets[fd].ended && forwarded(now.request, sockets[upstream].out) == sockets[fd].in) ||
        (sockets[upstream].ended &&
         forwarded(now.response, sockets[fd].out) == sockets[upstream].in)) {
        close_client(fd);
    }
}

// Takes the client's exchange as far as it goes now.
void Edge::step(std::uint32_t fd) {
    Record& record = record_of(fd);
    for (int rounds = 0; rounds < 64; ++rounds) {
        Socket& client = sockets[fd];
        if (!client.is_open) return;
        if (client.broken) return close_client(fd);
        Exchange& now = current(record);
        if (now.phase == kReading) {
            const bool moved = receive(fd, now.in_start);
            if (parse_request(fd)) continue;
            if (client.ended) return close_client(fd);
            if (moved) continue;
            if (client.in == now.in_start &&
                record.ring != kNone) {  // Idle connections hold no buffer.
                worker_.rings.push_back(record.ring);
                record.ring = kNone;
            }
            return;
        }
        if (now.phase == kReady) {
            if (attach(fd)) continue;
            worker_.waiting.push_back(fd);
            return;
        }
        if (now.phase == kTunnel) return tunnel(fd);
        bool moved = false;
        if (now.upstream != kNone) {
            Socket& upstream = sockets[now.upstream];
            if (!is_complete(now.request, upstream.out, false, 0)) {
                moved = receive(fd, forwarded(now.request, upstream.out)) || moved;
                advance_chunks(record, true, client.in);
                moved = flush(current(record).request, fd, now.upstream) || moved;
            }
            Exchange& then = current(record);
            const std::uint64_t keep = then.phase == kAttached
                                           ? then.upstream_in_start
                                           : forwarded(then.response, client.out);
            moved = receive(then.upstream, keep) || moved;
            if (then.phase == kAttached) {
                if (parse_response(fd)) continue;
                if (sockets[then.upstream].ended || sockets[then.upstream].broken) {
                    lost_upstream(fd);
                    continue;
                }
            }
        }
        if (current(record).phase == kAnswering) {
            Exchange& then = current(record);
            if (then.upstream != kNone) advance_chunks(record, false, sockets[then.upstream].in);
            moved = flush(current(record).response, current(record).upstream, fd) || moved;
            Exchange& last = current(record);
            const bool ended = last.upstream != kNone && sockets[last.upstream].ended;
            const std::uint64_t in = last.upstream != kNone ? sockets[last.upstream].in : 0;
            if (is_complete(last.response, client.out, ended, in)) {
                finish(fd);
                if (!sockets[fd].is_open) return;
                continue;
            }
            if (ended && !moved && last.response.framing != kUntilClose &&
                forwarded(last.response, client.out) == limit_of(last.response, in)) {
                return close_client(fd);  // Cut short by the upstream.
            }
        }
        if (!moved) return;
    }
    worker_.waiting.push_back(fd);
}

void Edge::apply_command() {
    const std::uint64_t wanted = stored.load();
    if (worker_.applied.load() == wanted) return;
    for (std::uint32_t number = 0; number < kEndpoints; ++number) {
        if (shared->endpoints[number].out == 0) continue;
        for (const std::uint32_t fd : worker_.idle[number]) {
            if (sockets[fd].is_open && record_of(fd).kind == kIdle) close_socket(fd);
        }
        worker_.idle[number].clear();
    }
    worker_.in_flight.clear();
    for (const std::uint32_t fd : worker_.clients) {
        const Exchange& exchange = current(record_of(fd));
        if (exchange.upstream != kNone && exchange.endpoint == shared->command_endpoint) {
            worker_.in_flight.push_back(exchange.id);
        }
    }
    worker_.applied.store(wanted);
}

void Edge::run() {
    epoll_event events[128];
    const std::vector<std::uint32_t> adopted = worker_.clients;
    for (const std::uint32_t fd : adopted) {
        watch(fd);
        const std::uint32_t upstream = current(record_of(fd)).upstream;
        if (upstream != kNone) watch(upstream);
    }
    for (const std::vector<std::uint32_t>& idle : worker_.idle) {
        for (const std::uint32_t fd : idle) watch(fd);
    }
    epoll_event event{};
    event.events = EPOLLIN | EPOLLEXCLUSIVE;
    event.data.u32 = kNone;
    ::epoll_ctl(worker_.epoll, EPOLL_CTL_ADD, listener_fd, &event);
    event.events = EPOLLIN;
    event.data.u32 = kNone - 1;
    ::epoll_ctl(worker_.epoll, EPOLL_CTL_ADD, worker_.wake, &event);
    worker_.waiting = adopted;
    (void)number_;
    while (true) {
        const int count =
            ::epoll_wait(worker_.epoll, events, 128, worker_.waiting.empty() ? 1000 : 1);
        apply_command();
        std::vector<std::uint32_t> again;
        again.swap(worker_.waiting);
        for (int i = 0; i < count; ++i) {
            const std::uint32_t fd = events[i].data.u32;
            if (fd == kNone) {
                accept_all();
                continue;
            }
            if (fd == kNone - 1) {
                std::uint64_t value = 0;
                [[maybe_unused]] const ssize_t got = ::read(worker_.wake, &value, sizeof(value));
                continue;
            }
            Socket& socket = sockets[fd];
            if (!socket.is_open) continue;
            if ((events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
                socket.can_read = true;
            if ((events[i].events & EPOLLOUT) != 0) {
                socket.can_write = true;
                socket.is_connecting = false;
            }
            if ((events[i].events & EPOLLERR) != 0) socket.broken = true;
            const Record& record = record_of(fd);
            if (record.kind == kClient) {
                again.push_back(fd);
            } else if (record.kind == kBusy && socket.other != kNone) {
                again.push_back(socket.other);
            } else if (record.kind == kIdle &&
                       (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
                close_socket(fd);
            }
        }
        for (const std::uint32_t fd : again) {
            if (sockets[fd].is_open && record_of(fd).kind == kClient) step(fd);
        }
    }
}

// ---- adoption ----
std::vector<int> open_descriptors() {
    std::vector<int> found;
    DIR* const folder = ::opendir("/proc/self/fd");
    while (const dirent* entry = ::readdir(folder)) {
        const int fd = std::atoi(entry->d_name);
        if (entry->d_name[0] != '.' && fd != ::dirfd(folder)) found.push_back(fd);
    }
    ::closedir(folder);
    return found;
}

bool adopt_socket(std::uint32_t fd) {
    Record& record = record_of(fd);
    Socket& socket = sockets[fd];
    socket = Socket{};
    const bool is_upstream = record.kind != kClient;
    if (!positions_of(static_cast<int>(fd), is_upstream, socket.in, socket.out)) return false;
    socket.is_open = true;
    return true;
}

// An exchange counts only where all of it fits together: a wrong position would send one user's
// bytes to another.
bool exchange_holds(std::uint32_t fd) {
    Record& record = record_of(fd);
    const Exchange& now = current(record);
    const Socket& client = sockets[fd];
    if (client.in < now.in_start) return false;
    if (client.in > now.in_start && record.ring == kNone && now.phase == kReading) return false;
    if (now.phase == kReading) return client.in - now.in_start <= kRingBytes;
    if (client.in < now.request.in_body) return false;
    if (now.phase != kReading && now.request.head >= kHeads) return false;
    if (now.upstream == kNone) return now.phase == kReady || now.is_own != 0;
    if (now.upstream >= kDescriptorsMax) return false;
    const Record& other = record_of(now.upstream);
    const Socket& upstream = sockets[now.upstream];
    if (!upstream.is_open || other.cookie != now.upstream_cookie || other.kind != kBusy)
        return false;
    if (upstream.out < now.request.out_start && !(upstream.out == 0)) return false;
    if (forwarded(now.request, upstream.out) > client.in) return false;
    if (upstream.in < now.upstream_in_start) return false;
    if (now.phase == kAnswering || now.phase == kTunnel) {
        if (client.out < now.response.out_start || now.response.head >= kHeads) return false;
        if (forwarded(now.response, client.out) > upstream.in) return false;
    }
    return true;
}

void adopt_all() {
    std::vector<bool> is_open(kDescriptorsMax, false), ring_used(kRings, false),
        head_used(kHeads, false);
    for (const int fd : open_descriptors()) {
        if (fd <= 2 || fd == listener_fd || fd == own_pidfd) continue;
        std::uint64_t cookie = cookie_of(fd);
        const bool fits = fd < static_cast<int>(kDescriptorsMax) && cookie != 0;
        int accepting = 0;
        socklen_t size = sizeof(accepting);
        if (!fits || ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &size) != 0 ||
            accepting != 0) {
            ::close(fd);  // Epolls, pidfds, eventfds of the dead.
            continue;
        }
        const auto number = static_cast<std::uint32_t>(fd);
        Record& record = record_of(number);
        if (record.kind == kFree || record.cookie != cookie) {
            // Accepted and not recorded? Then nothing has been read or written, and it came to our
            // port.
            sockaddr_in at{}, own{};
            socklen_t at_size = sizeof(at), own_size = sizeof(own);
            ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &at_size);
            ::getsockname(listener_fd, reinterpret_cast<sockaddr*>(&own), &own_size);
            std::uint64_t in = 1, out = 1;
            const bool fresh = at.sin_port == own.sin_port && positions_of(fd, false, in, out) &&
                               in == 0 && out == 0;
            if (!fresh) {
                ::close(fd);
                continue;
            }
            open_record(number, kClient, 0, 0);
            shared->fresh.fetch_add(1);
        }
        is_open[number] = adopt_socket(number);
        if (!is_open[number]) {
            record.kind = kFree;
            ::close(fd);
        }
    }
    std::uint32_t turn = 0;
    std::vector<bool> claimed(kDescriptorsMax, false);
    for (std::uint32_t fd = 0; fd < kDescriptorsMax; ++fd) {
        Record& record = record_of(fd);
        if (!is_open[fd] || record.kind != kClient) continue;
        if (record.shut != 0) ::shutdown(static_cast<int>(fd), SHUT_WR);
        if (record.shut != 0 || !exchange_holds(fd)) {
            if (record.shut == 0) shared->closed.fetch_add(1);
            record.kind = kFree;
            sockets[fd] = Socket{};
            ::close(static_cast<int>(fd));
            is_open[fd] = false;
            continue;
        }
        shared->adopted.fetch_add(1);
        const Exchange& now = current(record);
        Worker& worker = workers[turn++ % kWorkers];
        worker.clients.push_back(fd);
        if (record.ring != kNone) ring_used[record.ring] = true;
        if (now.request.head != kNone) head_used[now.request.head] = true;
        if (now.response.head != kNone) head_used[now.response.head] = true;
        if (now.upstream != kNone) {
            claimed[now.upstream] = true;
            sockets[now.upstream].other = fd;
            if (record_of(now.upstream).ring != kNone)
                ring_used[record_of(now.upstream).ring] = true;
        }
    }
    for (std::uint32_t fd = 0; fd < kDescriptorsMax; ++fd) {
        Record& record = record_of(fd);
        if (!is_open[fd] || record.kind == kClient || claimed[fd]) continue;
        const bool is_idle = record.kind == kIdle && record.idle_in == sockets[fd].in &&
                             record.idle_out == sockets[fd].out &&
                             shared->endpoints[record.endpoint].out == 0 &&
                             shared->endpoints[record.endpoint].generation == record.generation;
        if (!is_idle) {
            record.kind = kFree;
            sockets[fd] = Socket{};
            ::close(static_cast<int>(fd));
            continue;
        }
        if (record.ring != kNone) ring_used[record.ring] = true;
        workers[turn++ % kWorkers].idle[record.endpoint].push_back(fd);
    }
    for (std::uint32_t i = 0; i < kRings; ++i) {
        if (!ring_used[i]) workers[i % kWorkers].rings.push_back(i);
    }
    for (std::uint32_t i = 0; i < kHeads; ++i) {
        if (!head_used[i]) workers[i % kWorkers].heads.push_back(i);
    }
}

void run_main() {
    while (true) {
        timespec pause{0, 500'000};
        ::nanosleep(&pause, nullptr);
        const std::uint64_t wanted = shared->wanted.load();
        if (shared->acknowledged.load() == wanted) continue;
        // The table first: whoever comes after us reads it before its first accept.
        shared->endpoints[shared->command_endpoint].out = shared->command_out;
        stored.store(wanted);
        POINT();
        bool all = true;
        for (std::uint32_t i = 0; i < kWorkers; ++i) {
            const std::uint64_t one = 1;
            if (workers[i].applied.load() == wanted) continue;
            all = false;
            [[maybe_unused]] const ssize_t put = ::write(workers[i].wake, &one, sizeof(one));
        }
        if (!all) continue;
        std::uint32_t count = 0;
        for (std::uint32_t i = 0; i < kWorkers; ++i) {
            for (const std::uint64_t id : workers[i].in_flight) {
                if (count < kListed) shared->list[count++] = id;
            }
        }
        shared->listed.store(count);
        POINT();
        shared->acknowledged.store(wanted);
    }
}

[[noreturn]] void serve() {
    workers = new Worker[kWorkers];
    stored.store(shared->acknowledged.load());
    adopt_all();
    POINT();
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < kWorkers; ++i) {
        workers[i].epoll = ::epoll_create1(EPOLL_CLOEXEC);
        workers[i].wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        // Whatever it is asked now, it has not applied.
        workers[i].applied.store(shared->acknowledged.load());
    }
    for (std::uint32_t i = 0; i < kWorkers; ++i) {
        threads.emplace_back([i] { Edge(workers[i], i).run(); });
    }
    shared->edge_pid.store(static_cast<std::uint32_t>(::getpid()));
    shared->serving_epoch.store(shared->epoch.load());
    run_main();
    std::abort();
}

}  // namespace

std::uint32_t crash_points() { return __COUNTER__ - kPointBase - 1; }

void run_edge(Segment& segment, int listener) {
    shared = &segment;
    listener_fd = listener;
    // Growing a shared descriptor table waits for the kernel each time: once, before it is shared.
    const int high = ::fcntl(listener, F_DUPFD_CLOEXEC, kDescriptorsMax);
    if (high >= 0) ::close(high);
    while (true) {
        segment.epoch.fetch_add(1);
        own_pidfd = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
        const long holder = ::syscall(SYS_clone, CLONE_FILES | CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
        if (holder < 0) std::abort();
        if (holder > 0) {
            segment.holder_pid.store(static_cast<std::uint32_t>(holder));
            serve();
        }
        pollfd death{own_pidfd, POLLIN, 0};
        while (::poll(&death, 1, -1) <= 0) {}
        if (segment.stop.load() != 0) ::_exit(0);
    }
}

}  // namespace probe
