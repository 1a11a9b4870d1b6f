#include "os/peers.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace thole::os {

namespace {

// What /proc/<whose>/cgroup says. Empty: no hierarchy of cgroups is mounted, or there are none in
// this kernel. False: it cannot be read.
bool read_cgroup(const char* whose, char (&text)[8192]) {
    char path[64];
    std::snprintf(path, sizeof(path), "/proc/%s/cgroup", whose);
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const ssize_t got = ::read(fd, text, sizeof(text) - 1);
    ::close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got >= 0;
}

}  // namespace

bool may_command(int connected) {
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (::getsockopt(connected, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    if (peer.uid != 0 && peer.uid != ::geteuid()) return false;
    // No instance of a user is root's; and what root does may be hidden from them (hidepid).
    if (peer.uid == 0 && ::geteuid() != 0) return true;
    if (peer.pid == 0) return true;  // Of a PID namespace that is not below ours.
    char pid[16], text[8192];
    std::snprintf(pid, sizeof(pid), "%d", peer.pid);
    if (read_cgroup(pid, text)) return std::strstr(text, "/slot-") == nullptr;
    return !read_cgroup("self", text);
}

}  // namespace thole::os
