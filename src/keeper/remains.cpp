#include "keeper/remains.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "keeper/table.h"

namespace thole::keeper {
namespace {

// A folder's names one after another, without opendir, which allocates.
class Names {
public:
    explicit Names(const char* path) : fd_(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}
    Names(const Names&) = delete;
    ~Names() {
        if (fd_ >= 0) ::close(fd_);
    }
    int fd() const { return fd_; }
    const char* next() {
        if (at_ >= got_) {
            got_ = fd_ < 0 ? 0 : ::syscall(SYS_getdents64, fd_, bytes_, sizeof(bytes_));
            at_ = 0;
            if (got_ <= 0) return nullptr;
        }
        const auto* const entry = reinterpret_cast<const dirent64*>(bytes_ + at_);
        at_ += entry->d_reclen;
        return entry->d_name;
    }

private:
    int fd_;
    long at_ = 0;
    long got_ = 0;
    alignas(dirent64) char bytes_[8192];
};

// How many living processes `belongs` is true of, each signalled; 0 signals nobody. One that could
// not be looked at counts: it may be one of them.
template <typename Belongs>
int signal_all(int signal, Belongs belongs) {
    int count = 0;
    Names names("/proc");
    if (names.fd() < 0) return 1;
    while (const char* const name = names.next()) {
        const auto pid = static_cast<std::uint32_t>(std::strtoul(name, nullptr, 10));
        if (pid <= 1) continue;
        const ProcessFacts facts = facts_of(pid);
        count += facts.is_unknown ? 1 : 0;
        if (!belongs(facts)) continue;
        // Held first, then looked at again: what is signalled is what was looked at.
        const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
        if (pidfd < 0) {
            count += errno == ESRCH ? 0 : 1;
            continue;
        }
        if (belongs(facts_of(pid))) {
            ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
            ++count;
        }
        ::close(pidfd);
    }
    return count;
}

// Its number may be another process's by now: then nothing of it is left, as a number is not given
// again while a session or group carries it.
bool is_anothers(const wire::SlotClaim& leader) {
    if (leader.pid <= 1 || leader.pid == wire::kNobody) return true;
    const ProcessFacts first = facts_of(leader.pid);
    return first.is_there && first.start_time != leader.start_time;
}

bool belongs_to(const wire::SlotClaim& leader, const ProcessFacts& facts) {
    return facts.is_there && !facts.has_ended && facts.start_time >= leader.start_time &&
           (facts.session == leader.pid || facts.group == leader.pid);
}

// Walks through words that each end with a zero; an empty one at the end.
class Words {
public:
    Words(const char* at, const char* end) : at_(at), end_(end) {}
    const char* next() {
        if (at_ >= end_) return "";
        const char* const word = at_;
        at_ += std::strlen(word) + 1;
        return word;
    }

private:
    const char* at_;
    const char* end_;
};

// What /proc/<pid>/<name> holds, ended by a zero; -1 with errno set.
template <std::size_t kSize>
ssize_t read_words(std::uint32_t pid, const char* name, char (&bytes)[kSize]) {
    char path[64];
    std::snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    const ssize_t got = ::read(fd, bytes, kSize - 1);
    ::close(fd);
    bytes[got > 0 ? got : 0] = '\0';
    return got > 0 ? got : 0;
}

// An instance or a build of this system, by its environment, as far as that is not its own.
bool is_instance_of(std::uint32_t pid, const char* data_folder) {
    static char bytes[64 * 1024];
    const ssize_t got = read_words(pid, "environ", bytes);
    const std::size_t length = std::strlen(data_folder);
    bool is_instance = false, is_ours = false;
    for (const char* word = bytes; word < bytes + got; word += std::strlen(word) + 1) {
        const char* const value = std::strchr(word, '=');
        is_instance |= std::strncmp(word, "THOLE_INSTANCE=", 15) == 0 ||
                       std::strncmp(word, "THOLE_BUILD=", 12) == 0;
        is_ours |= value != nullptr && std::strncmp(value + 1, data_folder, length) == 0 &&
                   value[1 + length] == '/';
    }
    return is_instance && is_ours;
}

// `thole control --run R …`. Not the edge: one cloned while the others were killed may be left
// over.
bool is_control_of(std::uint32_t pid, const char* run_folder) {
    static char bytes[3 * PATH_MAX];
    const ssize_t got = read_words(pid, "cmdline", bytes);
    if (got <= 0) return got < 0 && is_shortage(errno);
    Words words(bytes, bytes + got);
    words.next();
    return std::strcmp(words.next(), "control") == 0 && std::strcmp(words.next(), "--run") == 0 &&
           std::strcmp(words.next(), run_folder) == 0;
}

}  // namespace

void signal_session(const wire::SlotClaim& leader, int signal) {
    if (is_anothers(leader)) return;
    const auto belongs = [&leader](const ProcessFacts& facts) { return belongs_to(leader, facts); };
    // Again while there is somebody: they may fork while we look. SIGKILL alone ends that.
    for (int round = 0; round < (signal == SIGKILL ? 8 : 1); ++round) {
        if (signal_all(signal, belongs) == 0) return;
    }
}

bool session_lives(const wire::SlotClaim& leader) {
    if (is_anothers(leader)) return false;
    return signal_all(
               0, [&leader](const ProcessFacts& facts) { return belongs_to(leader, facts); }) > 0;
}

bool kill_children(pid_t parent, pid_t spared) {
    const auto from = static_cast<std::uint32_t>(parent);
    const auto left_out = static_cast<std::uint32_t>(spared);
    return parent <= 1 || signal_all(SIGKILL, [from, left_out](const ProcessFacts& facts) {
                              return facts.is_there && !facts.has_ended && facts.parent == from &&
                                     facts.pid != left_out;
                          }) == 0;
}

bool control_lives(const char* run_folder) {
    Names names("/proc");
    if (names.fd() < 0) return true;
    while (const char* const name = names.next()) {
        const auto pid = static_cast<std::uint32_t>(std::strtoul(name, nullptr, 10));
        if (pid > 1 && is_control_of(pid, run_folder)) return true;
    }
    return false;
}

void kill_instances_of(const char* data_folder) {
    // Whoever started us has such an environment, and so have we.
    if (is_instance_of(static_cast<std::uint32_t>(::getpid()), data_folder)) return;
    const auto belongs = [data_folder](const ProcessFacts& facts) {
        return facts.is_there && !facts.has_ended && is_instance_of(facts.pid, data_folder);
    };
    // Again while there is somebody: they may fork while we look.
    for (int round = 0; round < 8; ++round) {
        if (signal_all(SIGKILL, belongs) == 0) return;
    }
}

void delete_folder(const char* path) {
    {
        Names names(path);
        while (const char* const name = names.next()) {
            if (name[0] != '.') ::unlinkat(names.fd(), name, 0);
        }
    }
    ::rmdir(path);
}

}  // namespace thole::keeper
