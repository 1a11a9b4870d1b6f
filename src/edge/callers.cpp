#include "edge/callers.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace thole::edge {

Callers::Callers()
    : netlink_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG)) {}

Callers::Said Callers::ask(const sockaddr_in& peer, const sockaddr_in& local) {
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
    if (::send(netlink_.get(), &message, sizeof(message), MSG_NOSIGNAL) < 0) return {};
    // The kernel answers before send() returns.
    const ssize_t got = ::recv(netlink_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    nlmsghdr header{};
    inet_diag_msg answer{};
    if (got < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(int)))) return {};
    std::memcpy(&header, bytes, sizeof(header));
    if (header.nlmsg_type == NLMSG_ERROR) {
        int error = 0;
        std::memcpy(&error, bytes + NLMSG_HDRLEN, sizeof(error));
        return {.is_known = error == -ENOENT};
    }
    if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        got < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(answer))))
        return {};
    std::memcpy(&answer, bytes + NLMSG_HDRLEN, sizeof(answer));
    if (answer.id.idiag_sport != peer.sin_port) return {};
    return {
        .is_here = true, .is_known = true, .uid = answer.idiag_uid, .inode = answer.idiag_inode};
}

std::optional<std::uint32_t> Callers::uid_of(const sockaddr_in& peer, const sockaddr_in& local) {
    const Said said = ask(peer, local);
    // One that was closed is nobody's, which reads as uid 0.
    if (!said.is_here || said.inode == 0) return std::nullopt;
    return said.uid;
}

OtherEnd Callers::other_end(const sockaddr_in& peer, const sockaddr_in& local) {
    const Said said = ask(peer, local);
    if (said.is_here) return said.inode == 0 ? OtherEnd::Closed : OtherEnd::Open;
    // One of this machine that is not there has ended for good.
    const bool is_local = ntohl(peer.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return said.is_known && is_local ? OtherEnd::Closed : OtherEnd::Unknown;
}

}  // namespace thole::edge
