#include "keeper/cgroups.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace thole::keeper {
namespace {

// Reads a small file whole, NUL-terminated; empty where it cannot.
void read_text(const char* path, char* text, std::size_t size) {
    text[0] = '\0';
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    std::size_t done = 0;
    while (done + 1 < size) {
        const ssize_t got = ::read(fd, text + done, size - 1 - done);
        if (got <= 0) break;
        done += static_cast<std::size_t>(got);
    }
    text[done] = '\0';
    ::close(fd);
}

bool write_text(const char* path, const char* text) {
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const bool good =
        ::write(fd, text, std::strlen(text)) == static_cast<ssize_t>(std::strlen(text));
    ::close(fd);
    return good;
}

// Where cgroup2 is mounted: the fifth field of its line in /proc/self/mountinfo.
bool find_mount(Path& mount) {
    static char text[64 * 1024];
    read_text("/proc/self/mountinfo", text, sizeof(text));
    for (char* line = std::strtok(text, "\n"); line != nullptr; line = std::strtok(nullptr, "\n")) {
        if (std::strstr(line, " - cgroup2 ") == nullptr) continue;
        char* at = line;
        for (int field = 0; field < 4 && at != nullptr; ++field) {
            at = std::strchr(at, ' ');
            if (at != nullptr) ++at;
        }
        if (at == nullptr) continue;
        char* const end = std::strchr(at, ' ');
        if (end != nullptr) *end = '\0';
        mount.set("%s", at);
        return mount.fits;
    }
    return false;
}

// The path of our own cgroup in v2: the line "0::/path".
bool find_own(Path& own) {
    char text[8192];
    read_text("/proc/self/cgroup", text, sizeof(text));
    for (char* line = std::strtok(text, "\n"); line != nullptr; line = std::strtok(nullptr, "\n")) {
        if (std::strncmp(line, "0::/", 4) == 0) {
            own.set("%s", line + 3);
            return own.fits;
        }
    }
    return false;
}

}  // namespace

void Cgroups::open(const char* name) {
    Path mount, own, made;
    base_ = Path{};
    if (!find_mount(mount) || !find_own(own)) return;
    made.set("%s%s/thole-%s", mount.text, std::strcmp(own.text, "/") == 0 ? "" : own.text, name);
    if (!made.fits || (::mkdir(made.text, 0755) != 0 && errno != EEXIST)) return;
    Path probe;
    probe.set("%s/cgroup.procs", made.text);
    if (::access(probe.text, W_OK) != 0) return;
    base_ = made;
    name_.set("/thole-%s", name);
}

void Cgroups::file(std::uint32_t slot, const char* name, Path& path) const {
    path.set("%s/slot-%u/%s", base_.text, slot, name);
}

bool Cgroups::make(std::uint32_t slot) const {
    if (!available()) return false;
    Path path;
    file(slot, "", path);
    return ::mkdir(path.text, 0755) == 0 || errno == EEXIST;
}

bool Cgroups::enter(std::uint32_t slot) const {
    Path path;
    file(slot, "cgroup.procs", path);
    return available() && write_text(path.text, "0");
}

bool Cgroups::kill_all(std::uint32_t slot) const {
    Path path;
    file(slot, "cgroup.kill", path);
    return available() && write_text(path.text, "1");
}

bool Cgroups::signal_all(std::uint32_t slot, int signal) const {
    if (!has(slot)) return false;
    Path path;
    file(slot, "cgroup.procs", path);
    static char text[256 * 1024];
    read_text(path.text, text, sizeof(text));
    for (char* at = text; *at != '\0';) {
        pid_t pid = 0;
        for (; *at >= '0' && *at <= '9'; ++at) pid = pid * 10 + (*at - '0');
        if (*at != '\0') ++at;
        if (pid <= 1) continue;  // 0 is a process of another PID namespace.
        // Held first, then looked at again: its number may be another's by now.
        const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
        if (pidfd < 0) continue;
        if (is_in(pid, slot)) ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
        ::close(pidfd);
    }
    return true;
}

bool Cgroups::is_in(pid_t pid, std::uint32_t slot) const {
    Path path, wanted;
    char text[8192];
    path.set("/proc/%d/cgroup", pid);
    wanted.set("%s/slot-%u", name_.text, slot);
    read_text(path.text, text, sizeof(text));
    const char* const line = std::strstr(text, "0::");
    const std::size_t wanted_length = std::strlen(wanted.text);
    if (line == nullptr) return false;
    const std::size_t length = std::strcspn(line, "\n");
    return length >= wanted_length &&
           std::strncmp(line + length - wanted_length, wanted.text, wanted_length) == 0;
}

bool Cgroups::has(std::uint32_t slot) const {
    Path path;
    file(slot, "", path);
    return available() && ::access(path.text, F_OK) == 0;
}

bool Cgroups::is_empty(std::uint32_t slot) const {
    if (!available()) return true;
    Path path;
    char text[64];
    file(slot, "cgroup.events", path);
    read_text(path.text, text, sizeof(text));
    return std::strstr(text, "populated 1") == nullptr;
}

bool Cgroups::read_oom_kills(std::uint32_t slot, std::uint32_t& count) const {
    if (!available()) return false;
    Path path;
    char text[1024];
    file(slot, "memory.events", path);
    read_text(path.text, text, sizeof(text));
    const char* const at = std::strstr(text, "oom_kill ");
    if (at == nullptr) return false;
    count = static_cast<std::uint32_t>(std::strtoul(at + 9, nullptr, 10));
    return true;
}

bool Cgroups::remove(std::uint32_t slot) const {
    if (!available()) return true;
    Path path;
    file(slot, "", path);
    return ::rmdir(path.text) == 0 || errno == ENOENT;
}

void Cgroups::close() const {
    if (available()) ::rmdir(base_.text);
}

}  // namespace thole::keeper
