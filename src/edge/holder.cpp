#include "edge/holder.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "edge/faults.h"
#include "edge/lineage.h"
#include "edge/parking.h"
#include "edge/soundness.h"

namespace thole::edge {

long clone_holder() {
    return ::syscall(SYS_clone, CLONE_FILES | CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

void wait_for_death(const Awaited& awaited, Segment& segment) {
    ::prctl(PR_SET_NAME, "holder");
    pollfd death{awaited.edge_pidfd, POLLIN, 0};
    while (::poll(&death, 1, -1) <= 0) {}
    if (!close_offer(segment.lineage, awaited.line)) ::_exit(0);
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
