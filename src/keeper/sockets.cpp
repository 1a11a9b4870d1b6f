#include "keeper/sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "keeper/table.h"

namespace thole::keeper {
namespace {

constexpr int kBacklog = 4096;

int close_and_fail(int fd) {
    const int error = errno;
    if (fd >= 0) ::close(fd);
    errno = error;
    return -1;
}

bool is_listening(int fd) {
    int listens = 0;
    socklen_t size = sizeof(listens);
    return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
}

bool set_path(sockaddr_un& at, const char* path) {
    at = {};
    at.sun_family = AF_UNIX;
    if (std::strlen(path) >= sizeof(at.sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    std::strcpy(at.sun_path, path);
    return true;
}

}  // namespace

int listen_at(const char* path, int type) {
    sockaddr_un at{};
    if (!set_path(at, path)) return -1;
    const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ::unlink(path);
    const mode_t before = ::umask(0177);
    const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0;
    ::umask(before);
    return bound && ::listen(fd, kBacklog) == 0 ? fd : close_and_fail(fd);
}

int listen_on(std::uint32_t address, std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int one = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(address);
    at.sin_port = htons(port);
    const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0;
    return bound && ::listen(fd, kBacklog) == 0 ? fd : close_and_fail(fd);
}

bool describe_listener(int fd, ParkedEntry& entry) {
    sockaddr_in at{};
    socklen_t size = sizeof(at);
    if (!is_listening(fd) || ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0 ||
        at.sin_family != AF_INET) {
        return false;
    }
    entry.fd = fd;
    entry.address = ntohl(at.sin_addr.s_addr);
    entry.port = ntohs(at.sin_port);
    return true;
}

int peer_of(int fd) {
    ucred peer{};
    socklen_t size = sizeof(peer);
    return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

int take_back(const wire::SlotClaim& role, const char* path) {
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, role.pid, 0));
    if (pidfd < 0) return -1;
    // Held first, then looked at: from here on the number is nobody else's.
    const int fd = is_alive(role) ? static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, 3, 0)) : -1;
    ::close(pidfd);
    sockaddr_un wanted{}, at{};
    socklen_t size = sizeof(at);
    const bool fits = fd >= 0 && set_path(wanted, path) && is_listening(fd) &&
                      ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0 &&
                      at.sun_family == AF_UNIX && std::strcmp(at.sun_path, wanted.sun_path) == 0;
    // Somebody may have deleted the name: then nobody reaches it any more.
    struct stat info {};
    if (fits && ::stat(path, &info) == 0) return fd;
    return close_and_fail(fd);
}

}  // namespace thole::keeper
