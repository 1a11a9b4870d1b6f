#include "processes.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

#include "base/check.h"
#include "os/loop.h"

namespace thole::contract {
namespace {

using namespace std::chrono_literals;

constexpr Duration kEndLimit = 10s;
constexpr int kLookEveryMs = 2;

// keeper's run folder is on tmpfs in the field, too.
std::string& test_folder() {
    static std::string folder = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    return folder;
}

bool until(const std::function<bool()>& holds, Duration limit) {
    const Time deadline = os::boot_now() + limit;
    while (!holds()) {
        if (os::boot_now() > deadline) return false;
        ::poll(nullptr, 0, kLookEveryMs);
    }
    return true;
}

std::vector<pid_t> numbers_in(const std::string& folder) {
    std::vector<pid_t> found;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
        const std::string name = entry.path().filename();
        pid_t number = 0;
        const auto read = std::from_chars(name.data(), name.data() + name.size(), number);
        if (read.ec == std::errc{} && read.ptr == name.data() + name.size())
            found.push_back(number);
    }
    std::sort(found.begin(), found.end());
    return found;
}

// 0 where it is no more.
pid_t parent_of(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    std::string text;
    std::getline(file, text);
    // "12 (any name) S 1 …"
    const std::size_t end = text.rfind(')');
    if (end == std::string::npos || end + 4 >= text.size()) return 0;
    pid_t parent = 0;
    std::from_chars(text.data() + end + 4, text.data() + text.size(), parent);
    return parent;
}

}  // namespace

std::string make_folder() {
    std::string folder = test_folder() + "/thole-edge-XXXXXX";
    CHECK(::mkdtemp(folder.data()) != nullptr);
    return folder;
}

int run_guarded(const std::function<int()>& test) {
    test_folder() = make_folder();
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const pid_t child = ::fork();
    CHECK(child >= 0);
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::prctl(PR_SET_CHILD_SUBREAPER, 1);
        return test();
    }
    // Ctrl-C is the child's: what is below it is ended after it.
    ::signal(SIGINT, SIG_IGN);
    int status = 0;
    ::waitpid(child, &status, 0);
    end_all_children();
    std::error_code none;
    std::filesystem::remove_all(test_folder(), none);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_program(const std::vector<std::string>& arguments, Duration limit) {
    std::vector<char*> pointers;
    for (const std::string& each : arguments) pointers.push_back(const_cast<char*>(each.c_str()));
    pointers.push_back(nullptr);
    pid_t child = 0;
    if (::posix_spawn(&child, pointers[0], nullptr, nullptr, pointers.data(), environ) != 0)
        return -1;
    int status = 0;
    const bool has_ended =
        until([&] { return ::waitpid(child, &status, WNOHANG) == child; }, limit);
    return has_ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void end_all_children() {
    const bool all = until(
        [] {
            for (const pid_t process : numbers_in("/proc")) {
                if (parent_of(process) == ::getpid()) ::kill(process, SIGKILL);
            }
            pid_t ended = 0;
            do { ended = ::waitpid(-1, nullptr, WNOHANG | __WALL); } while (ended > 0);
            return ended < 0;
        },
        kEndLimit);
    CHECK(all);
}

std::vector<pid_t> threads_of(pid_t process) {
    std::vector<pid_t> threads = numbers_in("/proc/" + std::to_string(process) + "/task");
    std::erase(threads, process);
    return threads;
}

StoppedThread::StoppedThread(pid_t thread) : thread_(thread) {
    if (::ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) return;
    if (::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) != 0) return;
    is_stopped_ = until([thread] { return ::waitpid(thread, nullptr, WNOHANG | __WALL) == thread; },
                        kEndLimit);
}

StoppedThread::~StoppedThread() { ::ptrace(PTRACE_DETACH, thread_, nullptr, nullptr); }

}  // namespace thole::contract
