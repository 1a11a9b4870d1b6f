#include "keeper/parked.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "keeper/table.h"

namespace thole::keeper {
namespace {

constexpr std::int64_t kRoomNs = 1'000'000'000;

}  // namespace

ParkedEntry* Parked::find(ParkedKind kind, std::uint32_t id) {
    for (ParkedEntry& entry : entries_) {
        if (entry.kind == kind && entry.id == id) return &entry;
    }
    return nullptr;
}

bool Parked::put(const ParkedEntry& entry) {
    drop(entry.kind, entry.id);
    for (ParkedEntry& place : entries_) {
        if (place.kind != ParkedKind::Free) continue;
        place = entry;
        return true;
    }
    ::close(entry.fd);
    return false;
}

void Parked::drop(ParkedKind kind, std::uint32_t id) {
    ParkedEntry* const entry = find(kind, id);
    if (entry == nullptr) return;
    ::close(entry->fd);
    *entry = ParkedEntry{};
}

bool make_link_pair(int ends[2]) {
    return ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0;
}

long send_with_descriptor(int socket, const void* bytes, std::uint64_t size, int fd) {
    iovec part{const_cast<void*>(bytes), size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &fd, sizeof(int));
    }
    return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

long receive_with_descriptor(int socket, void* bytes, std::uint64_t size, int& fd) {
    fd = -1;
    iovec part{bytes, size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) return got;
    for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int passed = -1;
            std::memcpy(&passed, CMSG_DATA(at) + i * sizeof(int), sizeof(int));
            // One is asked for; a peer that sends more does not fill our table.
            if (fd < 0) {
                fd = passed;
            } else {
                ::close(passed);
            }
        }
    }
    return got;
}

bool send_link(int link, LinkMessage message, const ParkedEntry& entry) {
    const LinkFrame frame{message, entry};
    const int fd = message == LinkMessage::Park ? entry.fd : -1;
    const std::int64_t deadline = now_nanoseconds() + kRoomNs;
    while (send_with_descriptor(link, &frame, sizeof(frame), fd) < 0) {
        if (errno == EINTR) continue;
        // Too many descriptors in flight for an unprivileged user; the reader takes them. The link
        // has room meanwhile: it has no event for that.
        const bool are_too_many = errno == ETOOMANYREFS;
        if ((errno != EAGAIN && !are_too_many) || now_nanoseconds() > deadline) return false;
        pollfd room{link, POLLOUT, 0};
        ::poll(&room, are_too_many ? 0 : 1, are_too_many ? 1 : 1000);
    }
    return true;
}

Received receive_link(int link, LinkFrame& frame) {
    int fd = -1;
    const long got = receive_with_descriptor(link, &frame, sizeof(frame), fd);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Received::Nothing;
    if (got != static_cast<long>(sizeof(frame))) {
        if (fd >= 0) ::close(fd);
        return Received::Closed;
    }
    frame.entry.fd = fd;
    return Received::Frame;
}

bool send_all(int link, Parked& parked) {
    for (const ParkedEntry& entry : parked) {
        if (entry.kind != ParkedKind::Free && !send_link(link, LinkMessage::Park, entry))
            return false;
    }
    return send_link(link, LinkMessage::End, ParkedEntry{});
}

}  // namespace thole::keeper
