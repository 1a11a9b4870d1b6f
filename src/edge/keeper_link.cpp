#include "edge/keeper_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "edge/clock.h"
#include "edge/inherit.h"
#include "wire/frame.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kAnswerNs = 2'000'000'000;

}  // namespace

Result<KeeperLink> KeeperLink::connect(const std::string& run_folder) {
    const std::string path = run_folder + "/keeper.sock";
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (path.size() >= sizeof(to.sun_path)) return invalid("the run folder's path is too long");
    std::memcpy(to.sun_path, path.c_str(), path.size() + 1);
    os::FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return from_errno(errno, "socket");
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
        return from_errno(errno, "connect to " + path);
    }
    KeeperLink link(std::move(socket));
    const wire::HelloToKeeper hello{
        wire::ClientKind::Edge, static_cast<std::uint32_t>(::getpid()), {}};
    TRY(link.send(wire::KeeperMessage::Hello,
                  {reinterpret_cast<const char*>(&hello), sizeof(hello)}, -1));
    return link;
}

Status KeeperLink::send(wire::KeeperMessage type, std::string_view body, int descriptor) {
    const std::string frame = wire::seal(static_cast<std::uint16_t>(type), body);
    iovec part{const_cast<char*>(frame.data()), frame.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (descriptor >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    }
    if (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) < 0)
        return from_errno(errno, "send to keeper");
    return success();
}

// The next message, where there is one. It lies in a buffer that the next call overwrites. Who is
// to take our place may be sent at any time, and so may an answer that nobody waits for.
KeeperLink::Got KeeperLink::receive(wire::Frame& frame, os::FileDescriptor& handed) {
    static char bytes[wire::kFrameBytesMax];
    iovec part{bytes, sizeof(bytes)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Got::Nothing;
    if (got <= 0) return Got::Closed;
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header), sizeof(int));
        handed.reset(fd);
    }
    const auto opened = wire::open_frame({bytes, static_cast<std::size_t>(got)});
    frame = opened ? *opened : wire::Frame{};
    if (frame.type == static_cast<std::uint16_t>(wire::KeeperMessage::HandOver))
        successor_ = std::move(handed);
    if (frame.type == static_cast<std::uint16_t>(wire::KeeperMessage::Refused)) {
        const auto refused = wire::read_message<wire::RefusedEvent>(frame.body);
        is_refused_ = is_refused_ ||
                      (refused && refused->request ==
                                      static_cast<std::uint16_t>(wire::KeeperMessage::ServeAsEdge));
    }
    return Got::Frame;
}

Result<wire::Frame> KeeperLink::wait_for_frame(std::int64_t deadline_ns,
                                               os::FileDescriptor& handed) {
    wire::Frame frame;
    while (now_ns() < deadline_ns) {
        pollfd ready{socket_.get(), POLLIN, 0};
        if (::poll(&ready, 1, static_cast<int>((deadline_ns - now_ns()) / 1'000'000) + 1) <= 0)
            continue;
        const Got got = receive(frame, handed);
        if (got == Got::Closed) return unavailable("keeper closed the link");
        if (got == Got::Frame) return frame;
    }
    return timed_out("keeper does not answer");
}

// Skips the news that keeper tells everybody.
Result<os::FileDescriptor> KeeperLink::wait_for_handed(wire::KeeperMessage request) {
    const std::int64_t deadline_ns = now_ns() + kAnswerNs;
    while (true) {
        os::FileDescriptor handed;
        const wire::Frame frame = TRY(wait_for_frame(deadline_ns, handed));
        if (frame.type == static_cast<std::uint16_t>(wire::KeeperMessage::Refused)) {
            const auto refused = wire::read_message<wire::RefusedEvent>(frame.body);
            if (refused && refused->request == static_cast<std::uint16_t>(request))
                return invalid("keeper refuses: " +
                               std::string(refused->reason,
                                           ::strnlen(refused->reason, sizeof(refused->reason))));
        }
        if (frame.type != static_cast<std::uint16_t>(wire::KeeperMessage::Handed)) continue;
        const auto event = wire::read_message<wire::HandedEvent>(frame.body);
        if (event && event->request == static_cast<std::uint16_t>(request)) return handed;
    }
}

Result<std::vector<std::uint32_t>> KeeperLink::parked_listeners() {
    const std::int64_t deadline_ns = now_ns() + kAnswerNs;
    std::vector<std::uint32_t> parked;
    while (true) {
        os::FileDescriptor none;
        const wire::Frame frame = TRY(wait_for_frame(deadline_ns, none));
        if (frame.type == static_cast<std::uint16_t>(wire::KeeperMessage::Synced)) return parked;
        if (frame.type != static_cast<std::uint16_t>(wire::KeeperMessage::ListenerReady)) continue;
        if (const auto state = wire::read_message<wire::ListenerState>(frame.body))
            parked.push_back(state->id);
    }
}

bool KeeperLink::skip_news() {
    while (true) {
        wire::Frame frame;
        os::FileDescriptor handed;
        const Got got = receive(frame, handed);
        if (got != Got::Frame) return got == Got::Nothing;
    }
}

void KeeperLink::move_away() { edge::move_away(socket_); }

Result<os::FileDescriptor> KeeperLink::take_segment() {
    TRY(send(wire::KeeperMessage::TakeSegment, {}, -1));
    os::FileDescriptor segment = TRY(wait_for_handed(wire::KeeperMessage::TakeSegment));
    if (!segment.is_open()) return not_found("no segment is parked");
    return segment;
}

Status KeeperLink::park_segment(int fd) {
    TRY(send(wire::KeeperMessage::ParkSegment, {}, fd));
    TRY(wait_for_handed(wire::KeeperMessage::ParkSegment));
    return success();
}

Status KeeperLink::serve_as_edge(std::uint32_t holder_pid) {
    const wire::ServeAsEdgeRequest request{holder_pid};
    return send(wire::KeeperMessage::ServeAsEdge,
                {reinterpret_cast<const char*>(&request), sizeof(request)}, -1);
}

Status KeeperLink::stand_by_as_edge(std::uint32_t holder_pid) {
    const wire::StandByAsEdgeRequest request{holder_pid};
    TRY(send(wire::KeeperMessage::StandByAsEdge,
             {reinterpret_cast<const char*>(&request), sizeof(request)}, -1));
    TRY(wait_for_handed(wire::KeeperMessage::StandByAsEdge));
    return success();
}

Result<os::FileDescriptor> KeeperLink::take_listener(std::uint32_t id) {
    const wire::TakeListenerRequest request{id};
    TRY(send(wire::KeeperMessage::TakeListener,
             {reinterpret_cast<const char*>(&request), sizeof(request)}, -1));
    os::FileDescriptor listener = TRY(wait_for_handed(wire::KeeperMessage::TakeListener));
    if (!listener.is_open()) return not_found("listener " + std::to_string(id) + " is not parked");
    return listener;
}

Status KeeperLink::park_listener(std::uint32_t id, int fd) {
    const wire::ParkListenerRequest request{id};
    TRY(send(wire::KeeperMessage::ParkListener,
             {reinterpret_cast<const char*>(&request), sizeof(request)}, fd));
    TRY(wait_for_handed(wire::KeeperMessage::ParkListener));
    return success();
}

}  // namespace thole::edge
