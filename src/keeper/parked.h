// Descriptors that outlive keeper: listeners, the roles' listening sockets, the edge's segment.
// keeper holds them and watch holds a copy; whoever lives gives them to whoever comes next, over a
// SOCK_SEQPACKET pair, one a message.
#pragma once

#include <cstdint>

namespace thole::keeper {

enum class ParkedKind : std::uint32_t {
    Free = 0,
    KeeperSocket = 1,
    ApiSocket = 2,
    EdgeSocket = 3,
    Segment = 4,
    Listener = 5,
};

struct ParkedEntry {
    ParkedKind kind = ParkedKind::Free;
    std::uint32_t id = 0;       // Listener only.
    std::uint32_t address = 0;  // Host byte order.
    std::uint32_t port = 0;
    int fd = -1;  // Meaningless on the wire.
};

constexpr std::uint32_t kParkedMax = 1024;

// The table; owns the descriptors.
class Parked {
public:
    ParkedEntry* find(ParkedKind kind, std::uint32_t id);
    // Takes the descriptor, in place of one of the same kind and id; false where the table is full
    // (then closed).
    bool put(const ParkedEntry& entry);
    void drop(ParkedKind kind, std::uint32_t id);
    ParkedEntry* begin() { return entries_; }
    ParkedEntry* end() { return entries_ + kParkedMax; }

private:
    ParkedEntry entries_[kParkedMax];
};

enum class LinkMessage : std::uint32_t { Park = 1, Drop = 2, End = 3, Leave = 4 };

struct LinkFrame {
    LinkMessage message;
    ParkedEntry entry;
};

// A pair whose ends are non-blocking and close-on-exec.
bool make_link_pair(int ends[2]);
// Sends with the descriptor where the entry has one. Waits up to a second for room.
bool send_link(int link, LinkMessage message, const ParkedEntry& entry);
enum class Received { Frame, Nothing, Closed };
// The descriptor, if any, is the caller's.
Received receive_link(int link, LinkFrame& frame);
// All of the table, then End.
bool send_all(int link, Parked& parked);

// Any message with at most one descriptor; -1 is none. -1 with errno on failure, as sendmsg and
// recvmsg.
long send_with_descriptor(int socket, const void* bytes, std::uint64_t size, int fd);
long receive_with_descriptor(int socket, void* bytes, std::uint64_t size, int& fd);

}  // namespace thole::keeper
