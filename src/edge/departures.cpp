// Whether a client that has ended its side has gone, or still waits for its answer. Both look alike
// on the wire (RFC 9112 section 9.6 allows the second): only what is sent to it tells, by a reset.
// On this machine the kernel knows whether anybody has the other end open. To anybody else who
// speaks HTTP/1.1 one interim 100 is sent after a while, which a client may not mind (RFC 9110
// section 15.2) and which one that has gone answers with a reset.
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>

#include "edge/worker.h"
#include "model/defaults.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kFirstNs = 20'000'000;
constexpr std::int64_t kAgainNs = 100'000'000;
constexpr std::uint32_t kDoublingsMax = 6;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

// All that was sent to it has been acknowledged, so that these few bytes go out whole.
bool has_taken_all(int fd) {
    int bytes = 0;
    return ::ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes == 0;
}

// Whether it is known to have gone; one that is reset is told of by the kernel, as any other is.
bool has_left(Runtime& runtime, Callers& callers, std::uint32_t fd, std::int64_t now_ns) {
    Socket& client = runtime.socket(fd);
    const int number = static_cast<int>(fd);
    sockaddr_in peer{}, local{};
    socklen_t peer_size = sizeof(peer), local_size = sizeof(local);
    if (::getpeername(number, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0 ||
        ::getsockname(number, reinterpret_cast<sockaddr*>(&local), &local_size) != 0)
        return false;
    const OtherEnd end = callers.other_end(peer, local);
    if (end != OtherEnd::Unknown) return end == OtherEnd::Closed;
    const bool is_old = (current(runtime.exchange(fd)).flags & kHttp10) != 0;
    const std::int64_t ended_ns = now_ns - client.departure.since_ns;
    if (is_old || client.departure.has_prodded ||
        ended_ns < Duration(model::kHalfClosedPatience).count() || !has_taken_all(number))
        return false;
    client.departure.has_prodded = true;
    const ssize_t sent = ::send(number, kContinue.data(), kContinue.size(), MSG_NOSIGNAL);
    if (sent > 0) client.out += static_cast<std::uint64_t>(sent);
    return sent > 0 && static_cast<std::size_t>(sent) < kContinue.size();
}

}  // namespace

// The kernel is asked a moment after its end, so that what was sent and let go of at once still
// comes to an instance; then again and again, less often the longer it waits.
bool WorkerParts::waits_in_vain(std::uint32_t fd) {
    Socket& client = runtime_.socket(fd);
    if (!client.may_end) return false;
    const Phase phase = exchange(fd).phase;
    if (phase != Phase::Ready && phase != Phase::Attached) return false;
    Departure& seen = client.departure;
    if (seen.since_ns == 0) {
        seen.since_ns = now_ns_;
        seen.next_ns = now_ns_ + kFirstNs;
    }
    if (now_ns_ < seen.next_ns) {
        if (seen.asked == 0) alarms_.set(fd, client.alarm_ns, seen.next_ns);
        return false;
    }
    seen.next_ns = now_ns_ + (kAgainNs << std::min(seen.asked++, kDoublingsMax));
    const std::int64_t prod_ns = seen.since_ns + Duration(model::kHalfClosedPatience).count();
    if (now_ns_ < prod_ns) seen.next_ns = std::min(seen.next_ns, prod_ns);
    return has_left(runtime_, callers_, fd, now_ns_);
}

}  // namespace thole::edge
