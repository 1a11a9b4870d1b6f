#include "keeper/child.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "keeper/open_files.h"
#include "keeper/table.h"
#include "os/fault_point.h"

namespace thole::keeper {
namespace {

constexpr int kSpawnFailedStatus = 127;

// Says where it went wrong, for whoever reaps us.
[[noreturn]] void fail(const ChildPlan& plan, wire::SpawnStep step, int error) {
    plan.record->wait_status = static_cast<std::int32_t>(static_cast<unsigned>(step) << 16U |
                                                         static_cast<unsigned>(error));
    plan.record->flags = wire::kSpawnFailed;
    ::_exit(kSpawnFailedStatus);
}

void claim(const ChildPlan& plan) {
    const auto pid = static_cast<std::uint32_t>(::getpid());
    const wire::SlotClaim armed{plan.at.generation, 0, 0};
    const wire::SlotClaim mine{plan.at.generation, pid, start_time_of(pid)};
    // It would be taken for dead, and another started beside us.
    if (mine.start_time == 0) ::_exit(kSpawnFailedStatus);
    // Lost: a later keeper has taken the slot for somebody else. Not a word in the table, which is
    // theirs.
    if (!exchange_claim(plan.record->claim, armed, mine)) ::_exit(kSpawnFailedStatus);
    if (plan.claims_pipe >= 0) {
        [[maybe_unused]] const ssize_t told = ::write(plan.claims_pipe, &plan.at, sizeof(plan.at));
    }
}

void restore_signals() {
    struct sigaction normal {};
    normal.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &normal, nullptr);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Descriptors 0 to 2 (and 3, where something is inherited); all others are closed.
bool place_descriptors(const ChildPlan& plan) {
    const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    // Above the places they are going to, so that no dup2 overwrites one still needed.
    const int out = ::fcntl(plan.out >= 0 ? plan.out : nothing, F_DUPFD, 10);
    const int err = ::fcntl(plan.err >= 0 ? plan.err : nothing, F_DUPFD, 10);
    const int extra = plan.inherited >= 0 ? ::fcntl(plan.inherited, F_DUPFD, 10) : -1;
    if (nothing < 0 || out < 0 || err < 0 || (plan.inherited >= 0 && extra < 0)) return false;
    if (::dup2(nothing, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) return false;
    if (extra >= 0 && ::dup2(extra, 3) < 0) return false;
    if (::syscall(SYS_close_range, extra >= 0 ? 4 : 3, ~0U, 0) != 0) return false;
    // Not earlier: with a small limit there was no number left to copy to.
    restore_open_files();
    return true;
}

bool limit(__rlimit_resource_t which, std::uint64_t most) {
    if (most == wire::kNoLimit) return true;
    const rlimit wanted{most, most};
    return ::setrlimit(which, &wanted) == 0;
}

bool apply_limits(const wire::ImageHeader& header, bool has_cgroup) {
    char text[16];
    const int length = std::snprintf(text, sizeof(text), "%d", header.oom_score_adj);
    if (const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); fd >= 0) {
        // Lowering it needs rights that not everybody has; it is a wish.
        [[maybe_unused]] const ssize_t put = ::write(fd, text, static_cast<std::size_t>(length));
        ::close(fd);
    }
    return limit(RLIMIT_NOFILE, header.open_files_max) &&
           limit(RLIMIT_CORE, header.core_bytes_max) &&
           (has_cgroup || limit(RLIMIT_NPROC, header.processes_max));
}

bool become_user(const wire::ImageHeader& header) {
    if (::getuid() == header.uid && ::getgid() == header.gid) return true;
    return ::setgroups(0, nullptr) == 0 && ::setresgid(header.gid, header.gid, header.gid) == 0 &&
           ::setresuid(header.uid, header.uid, header.uid) == 0;
}

[[noreturn]] void become_instance(const ChildPlan& plan) {
    const wire::ImageView& image = *plan.image;
    const bool has_cgroup = plan.cgroups != nullptr && plan.cgroups->available();
    if (has_cgroup && !plan.cgroups->enter(plan.at.slot))
        fail(plan, wire::SpawnStep::Cgroup, errno);
    FAULT_POINT("child, in its cgroup");
    if (!place_descriptors(plan)) fail(plan, wire::SpawnStep::Spool, errno);
    if (!apply_limits(image.header(), has_cgroup)) fail(plan, wire::SpawnStep::Limits, errno);
    if (!become_user(image.header())) fail(plan, wire::SpawnStep::User, errno);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (::chdir(image.cwd()) != 0) fail(plan, wire::SpawnStep::Folder, errno);
    // The image's own limit on strings keeps these on the stack.
    static const char* argv[wire::kImageStringsMax + 1];
    static const char* envp[wire::kImageStringsMax + 1];
    FAULT_POINT("child, about to exec");
    image.fill(argv, envp);
    ::execve(argv[0], const_cast<char* const*>(argv), const_cast<char* const*>(envp));
    fail(plan, wire::SpawnStep::Exec, errno);
}

}  // namespace

void become(const ChildPlan& plan) {
    if (plan.lock >= 0) ::close(plan.lock);
    ::setsid();
    restore_signals();
    FAULT_POINT("child, not claimed");
    claim(plan);
    FAULT_POINT("child, claimed");
    if (plan.image != nullptr) become_instance(plan);
    if (!place_descriptors(plan)) fail(plan, wire::SpawnStep::Spool, errno);
    ::execv(plan.arguments[0], const_cast<char* const*>(plan.arguments));
    fail(plan, wire::SpawnStep::Exec, errno);
}

}  // namespace thole::keeper
