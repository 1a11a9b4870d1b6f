#include "edge/callers.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <cstring>

namespace thole::edge {

Callers::Callers()
    : netlink_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG)) {}

std::optional<std::uint32_t> Callers::uid_of(const sockaddr_in& peer, const sockaddr_in& local) {
    struct {
        nlmsghdr header;
        inet_diag_req_v2 question;
    } message{};
    message.header.nlmsg_len = sizeof(message);
    message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    message.header.nlmsg_flags = NLM_F_REQUEST;
    message.question.sdiag_family = AF_INET;
    message.question.sdiag_protocol = IPPROTO_TCP;
    message.question.idiag_states = ~std::uint32_t{0};
    message.question.id.idiag_sport = peer.sin_port;
    message.question.id.idiag_dport = local.sin_port;
    message.question.id.idiag_src[0] = peer.sin_addr.s_addr;
    message.question.id.idiag_dst[0] = local.sin_addr.s_addr;
    message.question.id.idiag_cookie[0] = message.question.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    alignas(nlmsghdr) char bytes[4096];
    // What is left of a question before must not be taken for the answer to this one.
    while (::recv(netlink_.get(), bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {}
    if (::send(netlink_.get(), &message, sizeof(message), MSG_NOSIGNAL) < 0) return std::nullopt;
    // The kernel answers before send() returns.
    const ssize_t got = ::recv(netlink_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    nlmsghdr header{};
    inet_diag_msg answer{};
    if (got < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(answer)))) return std::nullopt;
    std::memcpy(&header, bytes, sizeof(header));
    if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY) return std::nullopt;
    std::memcpy(&answer, bytes + NLMSG_HDRLEN, sizeof(answer));
    // Closed by its owner already: such a socket is nobody's, which reads as uid 0.
    if (answer.idiag_inode == 0 || answer.id.idiag_sport != peer.sin_port) return std::nullopt;
    return answer.idiag_uid;
}

}  // namespace thole::edge
