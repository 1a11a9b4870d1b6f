#include "app/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "os/fd.h"

extern char** environ;

namespace thole::app {
namespace {

// More than any repository's list of files; a program that talks for ever does not fill us.
constexpr std::size_t kSaidBytesMax = 256 * 1024 * 1024;

std::vector<char*> environment_without_git() {
    std::vector<char*> out;
    for (char** each = environ; *each != nullptr; ++each) {
        if (std::strncmp(*each, "GIT_", 4) != 0) out.push_back(*each);
    }
    out.push_back(nullptr);
    return out;
}

// A child of ours, as started: an error number, or 0.
int spawn(const std::vector<std::string>& words, Kept kept, int into, pid_t& child) {
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const std::vector<char*> variables = environment_without_git();
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    const int number = static_cast<int>(kept);
    const int other = kept == Kept::Output ? 2 : 1;
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, other, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, into, number);
    const int error =
        ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), variables.data());
    ::posix_spawn_file_actions_destroy(&actions);
    return error;
}

std::string read_all(int from) {
    std::string said;
    char bytes[64 * 1024];
    while (said.size() < kSaidBytesMax) {
        const ssize_t got = ::read(from, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        said.append(bytes, static_cast<std::size_t>(got));
    }
    return said;
}

}  // namespace

Result<Ended> run_program(const std::vector<std::string>& words, Kept kept) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return from_errno(errno, "pipe");
    const os::FileDescriptor reading(ends[0]);
    os::FileDescriptor writing(ends[1]);
    pid_t child = -1;
    const int error = spawn(words, kept, writing.get(), child);
    writing = os::FileDescriptor();
    if (error != 0) return from_errno(error, "run " + words[0]);
    Ended ended;
    ended.said = read_all(reading.get());
    while (::waitpid(child, &ended.status, 0) < 0) {
        if (errno != EINTR) return from_errno(errno, "wait for " + words[0]);
    }
    return ended;
}

}  // namespace thole::app
