#include "keeper/watch.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "keeper/keeper.h"
#include "keeper/open_files.h"
#include "keeper/parked.h"
#include "keeper/roles.h"
#include "keeper/table.h"
#include "os/fault_point.h"

namespace thole::keeper {
namespace {

class WatchRole {
public:
    explicit WatchRole(const Options& options) : options_(options) {}
    int run();

private:
    bool start_keeper();
    void hold_keeper();
    bool keeper_is_gone(const pollfd& pidfd) const;
    void reap();
    void read_link();
    void look_at_keeper();
    void map();
    bool another_keeper_lives();
    void after_keeper(const RoleEnd& end);

    const Options& options_;
    Parked parked_;
    wire::SlotTable* table_ = nullptr;
    wire::TicksPage* ticks_ = nullptr;
    ino_t ticks_inode_ = 0;
    bool is_adopted_ = false;  // keeper is the one that started us, not our child.
    bool had_keeper_ = false;  // One that got as far as its sockets.
    int link_ = -1;
    int keeper_pidfd_ = -1;
    pid_t keeper_ = 0;
    std::int64_t keeper_started_ns_ = 0;
    std::int64_t next_start_ns_ = 0;
    std::uint32_t crashes_ = 0;
    Silence silence_;
    bool leaves_ = false;
    int code_ = 0;
};

bool WatchRole::start_keeper() {
    int ends[2];
    if (!make_link_pair(ends)) return false;
    // Before the fork: a child that we do not outlive would name its adopter.
    Options options = options_;
    options.set_parent(::getpid());
    FAULT_POINT("watch, keeper not started");
    const pid_t child = ::fork();
    if (child < 0) {
        ::close(ends[0]);
        ::close(ends[1]);
        return false;
    }
    if (child == 0) {
        ::setsid();
        // Not another copy of what is parked: keeper is handed it over the link.
        const int end = ::fcntl(ends[1], F_DUPFD, 10);
        ::dup2(end, 3);
        ::syscall(SYS_close_range, 4, ~0U, 0);
        restore_open_files();
        sigset_t none;
        sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        const char* arguments[14];
        write_arguments(options, "run", arguments);
        ::execv("/proc/self/exe", const_cast<char* const*>(arguments));
        ::_exit(126);
    }
    ::close(ends[1]);
    if (link_ >= 0) ::close(link_);
    link_ = ends[0];
    keeper_ = child;
    is_adopted_ = false;
    hold_keeper();
    keeper_started_ns_ = now_nanoseconds();
    silence_.restart(keeper_started_ns_);
    FAULT_POINT("watch, nothing handed over");
    // One that does not take it is of no use: the next one gets everything anew.
    if (!send_all(link_, parked_)) ::kill(keeper_, SIGKILL);
    return true;
}

// Again each turn, where there was no descriptor left for it.
void WatchRole::hold_keeper() {
    if (keeper_ == 0 || keeper_pidfd_ >= 0) return;
    keeper_pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, keeper_, 0));
    // Asked afterwards: the pidfd is keeper's only if keeper is still there now. A child is there
    // until we reap it.
    if (keeper_pidfd_ >= 0 && is_adopted_ && options_.living_parent() == 0)
        ::close(std::exchange(keeper_pidfd_, -1));
}

// Asked after what can be reaped was.
bool WatchRole::keeper_is_gone(const pollfd& pidfd) const {
    return keeper_ != 0 && ((pidfd.revents & POLLIN) != 0 ||
                            (is_adopted_ && pidfd.fd < 0 && options_.living_parent() == 0));
}

// A run folder that was deleted and made again has other files of the same names.
void WatchRole::map() {
    Path path;
    path.set("%s/ticks", options_.run.text);
    struct stat info {};
    const ino_t now = ::stat(path.text, &info) == 0 ? info.st_ino : 0;
    if (now != ticks_inode_) {
        if (table_ != nullptr) ::munmap(table_, sizeof(*table_));
        if (ticks_ != nullptr) ::munmap(ticks_, sizeof(*ticks_));
        table_ = nullptr;
        ticks_ = nullptr;
        ticks_inode_ = now;
        silence_.restart(now_nanoseconds());
    }
    if (table_ == nullptr) table_ = map_table(options_.run.text, MakeTable::No);
    if (ticks_ == nullptr) ticks_ = map_ticks(options_.run.text, MakeTable::No);
}

// The lock alone does not say so: a child that a dead keeper forked a moment ago holds it, too.
bool WatchRole::another_keeper_lives() {
    map();
    return table_ != nullptr &&
           is_alive(
               read_claim(table_->slots[static_cast<std::uint32_t>(wire::Role::Keeper)].claim));
}

void WatchRole::after_keeper(const RoleEnd& end) {
    if (keeper_pidfd_ >= 0) ::close(keeper_pidfd_);
    keeper_pidfd_ = -1;
    keeper_ = 0;
    // It said that it ends for good, or found that another keeper holds the lock.
    const int code = WIFEXITED(end.wait_status) ? WEXITSTATUS(end.wait_status) : -1;
    if (code == kKeeperEnds || (code == kKeeperIsNotNeeded && another_keeper_lives()) ||
        (code == kKeeperCannotStart && !had_keeper_)) {
        leaves_ = true;
        code_ = code;
        return;
    }
    FAULT_POINT("watch, keeper gone");
    crashes_ = crashes_after(crashes_, end);
    next_start_ns_ = now_nanoseconds() + restart_delay_ns(crashes_);
}

void WatchRole::reap() {
    while (true) {
        int status = 0;
        const pid_t pid = ::waitpid(-1, &status, WNOHANG);
        if (pid <= 0) return;
        if (pid == keeper_) {
            after_keeper({.wait_status = status,
                          .oom_kills = 0,
                          .lived_ns = now_nanoseconds() - keeper_started_ns_});
            continue;
        }
        // What a dead keeper left. The table says which slot it was, if any.
        map();
        for (std::uint32_t i = 0; table_ != nullptr && i < wire::kSlotsMax; ++i) {
            wire::SlotRecord& record = table_->slots[i];
            if (record.claim.pid != static_cast<std::uint32_t>(pid)) continue;
            // Read once and whole: a role's successor may claim the slot at this moment.
            const wire::SlotClaim claim = read_claim(record.claim);
            if (claim.pid != static_cast<std::uint32_t>(pid)) continue;
            if (record.ended_generation == claim.generation) continue;
            FAULT_POINT("watch, end not recorded");
            const std::uint32_t failed = record.flags & wire::kSpawnFailed;
            const bool never_ran = failed != 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127;
            record_end(record, claim.generation,
                       {.wait_status = never_ran ? record.wait_status : status,
                        .flags = wire::kExitKnown | (never_ran ? wire::kSpawnFailed : 0U),
                        .oom_kills = 0});
        }
    }
}

void WatchRole::read_link() {
    LinkFrame frame{};
    while (link_ >= 0) {
        const Received received = receive_link(link_, frame);
        if (received == Received::Nothing) return;
        if (received == Received::Closed) {
            ::close(link_);
            link_ = -1;
            return;
        }
        if (frame.message == LinkMessage::Park && frame.entry.fd >= 0) {
            parked_.put(frame.entry);
            had_keeper_ = true;
        }
        if (frame.message == LinkMessage::Drop) parked_.drop(frame.entry.kind, frame.entry.id);
        if (frame.message == LinkMessage::Leave) leaves_ = true;
    }
}

// Kills a keeper that has been silent for five seconds of turns of ours that came on time.
void WatchRole::look_at_keeper() {
    map();
    if (ticks_ == nullptr) return;
    tick(*ticks_, wire::Role::Watch);
    if (keeper_ == 0) return;
    const std::uint64_t last = ticks_->last[static_cast<std::uint32_t>(wire::Role::Keeper)];
    if (silence_.observe(now_nanoseconds(), last)) {
        if (keeper_pidfd_ >= 0) {
            ::syscall(SYS_pidfd_send_signal, keeper_pidfd_, SIGKILL, nullptr, 0);
        } else if (!is_adopted_ || options_.living_parent() != 0) {
            ::kill(keeper_, SIGKILL);
        }
        silence_.restart(now_nanoseconds());
    }
}

int WatchRole::run() {
    ::prctl(PR_SET_NAME, "watch");
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::signal(SIGPIPE, SIG_IGN);
    raise_open_files();
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    ::sigprocmask(SIG_SETMASK, &children, nullptr);
    const int signals = ::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    if (options_.has_link()) {
        link_ = 3;
        ::fcntl(link_, F_SETFD, FD_CLOEXEC);
        keeper_ = options_.living_parent();
        keeper_started_ns_ = now_nanoseconds();
        silence_.restart(keeper_started_ns_);
        is_adopted_ = true;
    } else if (!start_keeper()) {
        return kKeeperCannotStart;
    }
    while (!leaves_) {
        hold_keeper();
        pollfd waits[3] = {{signals, POLLIN, 0}, {link_, POLLIN, 0}, {keeper_pidfd_, POLLIN, 0}};
        ::poll(waits, 3, static_cast<int>(kTurnNs / 1'000'000));
        signalfd_siginfo info{};
        while (::read(signals, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {}
        // What keeper said before it died counts.
        read_link();
        reap();
        if (keeper_is_gone(waits[2])) {
            // A keeper that was not our child, or it would be reaped by now: nobody tells how it
            // ended. Killed is the likely thing.
            after_keeper({.wait_status = SIGKILL,
                          .oom_kills = 0,
                          .lived_ns = now_nanoseconds() - keeper_started_ns_});
        }
        if (!leaves_ && keeper_ == 0 && now_nanoseconds() >= next_start_ns_) start_keeper();
        look_at_keeper();
    }
    return code_;
}

}  // namespace

int run_watch(const Options& options) {
    // Large tables: not on the stack, and made once.
    static WatchRole role(options);
    return role.run();
}

}  // namespace thole::keeper
