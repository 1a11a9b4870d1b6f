#include "app/keeper_guard.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "keeper/open_files.h"
#include "keeper/table.h"
#include "os/fd.h"

extern char** environ;

namespace thole::app {
namespace {

// keeper and watch start each other within milliseconds; with both gone nobody else will.
constexpr std::int64_t kGoneNs = 1'000'000'000;
// keeper and watch kill each other after five seconds of silence: where neither did, both stand
// still.
constexpr std::int64_t kStillNs = 10'000'000'000;
constexpr std::int64_t kLateNs = 1'250'000'000;

constexpr auto kKeeper = static_cast<std::uint32_t>(wire::Role::Keeper);
constexpr auto kWatch = static_cast<std::uint32_t>(wire::Role::Watch);

std::uint64_t tick_of(const wire::TicksPage& ticks, std::uint32_t role) {
    return __atomic_load_n(&ticks.last[role], __ATOMIC_RELAXED);
}

}  // namespace

Stillness::Help Stillness::observe(std::int64_t now_ns, const Sight& sight) {
    const std::int64_t since = now_ns - turn_ns_;
    turn_ns_ = now_ns;
    const Sight before = std::exchange(before_, sight);
    const bool is_one_there = sight.keeper_lives || sight.watch_lives;
    const bool turns = (sight.keeper_lives && sight.keeper_tick != before.keeper_tick) ||
                       (sight.watch_lives && sight.watch_tick != before.watch_tick);
    const bool counts = since <= kLateNs;
    gone_ns_ = counts && !is_one_there ? gone_ns_ + since : 0;
    still_ns_ = counts && is_one_there && !turns ? still_ns_ + since : 0;
    if (gone_ns_ >= kGoneNs) {
        gone_ns_ = 0;
        return Help::Start;
    }
    if (still_ns_ >= kStillNs) {
        still_ns_ = 0;
        return Help::Continue;
    }
    return Help::None;
}

KeeperGuard::KeeperGuard(Folders folders, Say say)
    : folders_(std::move(folders)),
      say_(std::move(say)),
      table_(keeper::map_table(folders_.run.c_str(), keeper::MakeTable::No)),
      ticks_(keeper::map_ticks(folders_.run.c_str(), keeper::MakeTable::No)) {}

void KeeperGuard::look(std::int64_t now_ns) {
    if (table_ == nullptr || ticks_ == nullptr) return;
    reap();
    const Stillness::Sight sight{
        .keeper_lives = keeper::is_alive(keeper::read_claim(table_->slots[kKeeper].claim)),
        .watch_lives = keeper::is_alive(keeper::read_claim(table_->slots[kWatch].claim)),
        .keeper_tick = tick_of(*ticks_, kKeeper),
        .watch_tick = tick_of(*ticks_, kWatch)};
    switch (stillness_.observe(now_ns, sight)) {
        case Stillness::Help::None: return;
        case Stillness::Help::Start:
            if (starting_ == 0) start_keeper();
            return;
        case Stillness::Help::Continue:
            say_("role continued", "keeper and watch stood still for 10 s; told to go on");
            wake(wire::Role::Keeper);
            wake(wire::Role::Watch);
            return;
    }
}

// Through a pidfd that was opened before the claim was looked at again: nobody else is meant.
void KeeperGuard::wake(wire::Role role) {
    const wire::SlotClaim& at = table_->slots[static_cast<std::uint32_t>(role)].claim;
    const wire::SlotClaim claim = keeper::read_claim(at);
    if (claim.pid <= 1) return;
    const os::FileDescriptor pidfd(static_cast<int>(::syscall(SYS_pidfd_open, claim.pid, 0)));
    if (pidfd.is_open() && keeper::is_alive(claim))
        ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGCONT, nullptr, 0);
}

// It does nothing where somebody else was faster, and ends once keeper answers.
void KeeperGuard::start_keeper() {
    say_("role missing", "keeper and watch are both gone; control starts them again");
    const std::string program = folders_.binaries + "/lib/thole/keeper";
    const char* const words[] = {program.c_str(), "start",
                                 "--run",         folders_.run.c_str(),
                                 "--data",        folders_.data.c_str(),
                                 "--binaries",    folders_.binaries.c_str(),
                                 nullptr};
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_t how;
    ::posix_spawnattr_init(&how);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    ::posix_spawnattr_setsigdefault(&how, &all);
    ::posix_spawnattr_setsigmask(&how, &none);
    ::posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    // It hands services the limit that it has, which is to be the one that we were started with.
    keeper::restore_open_files();
    const int error = ::posix_spawn(&starting_, program.c_str(), &files, &how,
                                    const_cast<char* const*>(words), environ);
    keeper::raise_open_files();
    ::posix_spawnattr_destroy(&how);
    ::posix_spawn_file_actions_destroy(&files);
    if (error == 0) return;
    starting_ = 0;
    say_once("cannot start " + program + ": " + std::strerror(error));
}

void KeeperGuard::reap() {
    int status = 0;
    if (starting_ == 0 || ::waitpid(starting_, &status, WNOHANG) == 0) return;
    starting_ = 0;
    if (status == 0) {
        told_.clear();
    } else {
        say_once("keeper did not start; keeper.log says why");
    }
}

// It is tried again each second, for as long as it takes.
void KeeperGuard::say_once(std::string text) {
    if (std::exchange(told_, text) != text) say_("trouble", std::move(text));
}

}  // namespace thole::app
