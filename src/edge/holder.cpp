#include "edge/holder.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "edge/faults.h"
#include "edge/soundness.h"
#include "edge/worker.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kParkNs = 200'000'000;

// Every worker waits at the begin of a turn, in no function that holds a lock.
bool park_workers(Runtime& runtime) {
    runtime.is_parking.store(1);
    const std::int64_t deadline_ns = now_ns() + kParkNs;
    for (const std::unique_ptr<Worker>& worker : runtime.workers) worker->wake();
    while (runtime.parked.load() != runtime.workers.size()) {
        if (now_ns() > deadline_ns) return false;
        ::poll(nullptr, 0, 1);
    }
    return true;
}

void let_go(Runtime& runtime) {
    runtime.is_parking.store(0);
    runtime.is_parking.notify_all();
    // Not before all have gone on: one that still counts would be taken for parked the next time.
    const std::int64_t deadline_ns = now_ns() + kParkNs;
    while (runtime.parked.load() != 0 && now_ns() < deadline_ns) ::poll(nullptr, 0, 1);
}

}  // namespace

long clone_holder() {
    return ::syscall(SYS_clone, CLONE_FILES | CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

void wait_for_death(const Awaited& awaited, Segment& segment) {
    ::prctl(PR_SET_NAME, "holder");
    pollfd death{awaited.edge_pidfd, POLLIN, 0};
    while (::poll(&death, 1, -1) <= 0) {}
    if (segment.lineage.load() != awaited.lineage) ::_exit(0);
    if (has_faulted_too_often(segment.faults)) {
        ++segment.faults.given_up;
        ::_exit(0);
    }
    if (!is_whole(segment)) ::_exit(0);
}

Holder::Holder(std::uint32_t pid, const Awaited& awaited, std::function<void()> become_edge)
    : awaited_(awaited), become_edge_(std::move(become_edge)) {
    watch(pid);
}

void Holder::watch(std::uint32_t pid) {
    pid_ = pid;
    pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

bool Holder::replace(Runtime& runtime) {
    const bool are_parked = park_workers(runtime);
    const long pid = are_parked ? clone_holder() : -1;
    if (pid == 0) {
        wait_for_death(awaited_, runtime.segment);
        become_edge_();
    }
    let_go(runtime);
    if (pid > 0) watch(static_cast<std::uint32_t>(pid));
    return pid > 0;
}

}  // namespace thole::edge
