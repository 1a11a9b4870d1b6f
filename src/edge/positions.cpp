#include "edge/positions.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace thole::edge {
namespace {

// As in the kernel's tcp_states.h; glibc's header and the kernel's cannot both be included.
enum TcpState {
    kSynSent = 2,
    kFinWait1 = 4,
    kFinWait2 = 5,
    kTimeWait = 6,
    kClosed = 7,
    kCloseWait = 8,
    kLastAck = 9,
    kClosing = 11,
};

struct Reading {
    tcp_info info{};
    int unread = 0;
    int unsent = 0;
};

bool read_info(int fd, tcp_info& info) {
    socklen_t size = sizeof(info);
    return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0;
}

// Before and after agree, so that nothing arrived or left in between.
std::optional<Reading> read_steadily(int fd) {
    for (int tries = 0; tries < 1000; ++tries) {
        Reading reading;
        tcp_info before{};
        if (!read_info(fd, before)) return std::nullopt;
        if (::ioctl(fd, SIOCINQ, &reading.unread) != 0) return std::nullopt;
        if (::ioctl(fd, SIOCOUTQ, &reading.unsent) != 0) return std::nullopt;
        if (!read_info(fd, reading.info)) return std::nullopt;
        if (before.tcpi_bytes_received == reading.info.tcpi_bytes_received &&
            before.tcpi_bytes_acked == reading.info.tcpi_bytes_acked &&
            before.tcpi_state == reading.info.tcpi_state) {
            return reading;
        }
    }
    return std::nullopt;
}

// Closed by a FIN from each side, and not by a reset.
bool has_ended_well(int fd, OurEnd our_end) {
    int error = 0;
    socklen_t size = sizeof(error);
    return our_end == OurEnd::MayBeShut &&
           ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

}  // namespace

std::optional<Positions> positions_of(int fd, Opened opened, OurEnd our_end) {
    const std::optional<Reading> reading = read_steadily(fd);
    if (!reading) return std::nullopt;
    const int state = reading->info.tcpi_state;
    const bool is_closed = state == kClosed;
    if (is_closed && !has_ended_well(fd, our_end)) return std::nullopt;
    Positions positions;
    if (state == kSynSent) {
        positions.is_connecting = true;
        return positions;
    }
    positions.has_peer_ended = is_closed || state == kCloseWait || state == kLastAck ||
                               state == kClosing || state == kTimeWait;
    const bool we_ended = is_closed || state == kFinWait1 || state == kFinWait2 ||
                          state == kLastAck || state == kClosing;
    // SYN and FIN count as a byte each: the peer's FIN once it was received, our SYN and FIN in
    // what is acknowledged or waits to be.
    positions.in = std::uint64_t{reading->info.tcpi_bytes_received} -
                   static_cast<std::uint64_t>(reading->unread) -
                   (positions.has_peer_ended ? 1U : 0U);
    positions.out = std::uint64_t{reading->info.tcpi_bytes_acked} +
                    static_cast<std::uint64_t>(reading->unsent) -
                    (opened == Opened::ByUs ? 1U : 0U) - (we_ended ? 1U : 0U);
    return positions;
}

std::optional<std::uint64_t> written_before_reset(int fd) {
    const std::optional<Reading> reading = read_steadily(fd);
    if (!reading || reading->info.tcpi_state != kClosed) return std::nullopt;
    // The SYN is the first of them, acknowledged or not; a socket that was never connected has
    // none.
    const std::uint64_t sent =
        std::uint64_t{reading->info.tcpi_bytes_acked} + static_cast<std::uint64_t>(reading->unsent);
    if (sent == 0) return std::nullopt;
    return sent - 1;
}

}  // namespace thole::edge
