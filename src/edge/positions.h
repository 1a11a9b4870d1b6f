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

// Whether we have said that we send no more, or were about to: only so is a closed socket known to
// have ended well, and what it still holds to be read is to be had.
enum class OurEnd { Open, MayBeShut };

// Nothing where the socket is closed or no TCP socket.
std::optional<Positions> positions_of(int fd, Opened opened, OurEnd our_end = OurEnd::Open);

// Bytes that we have written to a connection of our own that was reset or refused, and whose end we
// never said; nothing where it is in another state. How much of it was read cannot be told: whether
// a FIN came before the reset is forgotten.
std::optional<std::uint64_t> written_before_reset(int fd);

}  // namespace thole::edge
