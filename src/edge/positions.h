// How many bytes of a TCP socket were read and written by us, as the kernel knows it: so a kill
// between a write and its record is harmless. Source: Linux's tcp(7), tcp_ioctl and struct tcp_info
// (since 4.1: tcpi_bytes_acked, tcpi_bytes_received).
#pragma once

#include <cstdint>
#include <optional>

namespace thole::edge {

struct Positions {
    std::uint64_t in = 0;
    std::uint64_t out = 0;
    bool is_connecting = false;   // Nothing was sent yet.
    bool has_peer_ended = false;  // Its FIN arrived; it may still be unread.
};

enum class Opened { ByUs, ByPeer };

// Nothing where the socket is closed or no TCP socket.
std::optional<Positions> positions_of(int fd, Opened opened);

}  // namespace thole::edge
