#include "edge/hand_over_link.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "edge/clock.h"

namespace thole::edge {
namespace {

constexpr std::size_t kHandOverBytesMax = 1024;

// False once it is too late.
bool wait_until_ready(int fd, short what, std::int64_t deadline_ns) {
    const std::int64_t left_ns = deadline_ns - now_ns();
    if (left_ns <= 0) return false;
    pollfd ready{fd, what, 0};
    return ::poll(&ready, 1, static_cast<int>(left_ns / 1'000'000) + 1) >= 0 || errno == EINTR;
}

void take_descriptors(msghdr& message, std::vector<os::FileDescriptor>& into) {
    for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(int));
            into.emplace_back(fd);
        }
    }
}

}  // namespace

Status HandOverLink::send(wire::HandOverMessage type, std::string_view body,
                          std::span<const int> descriptors, std::int64_t deadline_ns) {
    const std::string frame = wire::seal(static_cast<std::uint16_t>(type), body);
    iovec part{const_cast<char*>(frame.data()), frame.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::kDescriptorsAtOnce)] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
    }
    while (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        const int error = errno;
        if (error != EAGAIN && error != EINTR && error != ETOOMANYREFS)
            return from_errno(error, "send to the other edge");
        // The reader takes them; the socket has room meanwhile, and no event for that.
        if (error == ETOOMANYREFS) ::poll(nullptr, 0, 1);
        if (!wait_until_ready(socket_.get(), POLLOUT, deadline_ns))
            return timed_out("the other edge does not read");
    }
    return success();
}

Result<wire::Frame> HandOverLink::receive_any(std::int64_t deadline_ns,
                                              std::vector<os::FileDescriptor>& descriptors) {
    static char bytes[kHandOverBytesMax];
    descriptors.clear();
    while (true) {
        iovec part{bytes, sizeof(bytes)};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * wire::kDescriptorsAtOnce)] = {};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (!wait_until_ready(socket_.get(), POLLIN, deadline_ns))
                return timed_out("the other edge says nothing");
            continue;
        }
        if (got <= 0) return unavailable("the other edge has gone");
        take_descriptors(message, descriptors);
        if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
            return unavailable("there is no room for the descriptors");
        const auto frame = wire::open_frame({bytes, static_cast<std::size_t>(got)});
        if (!frame) return unavailable("the other edge speaks another language");
        return *frame;
    }
}

Result<std::string_view> HandOverLink::receive(wire::HandOverMessage type, std::int64_t deadline_ns,
                                               std::vector<os::FileDescriptor>& descriptors) {
    const wire::Frame frame = TRY(receive_any(deadline_ns, descriptors));
    if (frame.type != static_cast<std::uint16_t>(type))
        return unavailable("the other edge says something else than is expected");
    return frame.body;
}

}  // namespace thole::edge
