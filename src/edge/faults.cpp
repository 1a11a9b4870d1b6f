#include "edge/faults.h"

#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "edge/clock.h"
#include "edge/segment.h"

namespace thole::edge {
namespace {

Segment* the_segment = nullptr;
thread_local std::uint32_t this_worker = 0;  // From 1.
thread_local std::span<char> forgotten_stack;

void raise_again(int number) {
    ::signal(number, SIG_DFL);
    // Not raise(): the C library's idea of a cloned process's thread ids is its parent's.
    ::syscall(SYS_tgkill, ::syscall(SYS_getpid), ::syscall(SYS_gettid), number);
}

// A core dump may take seconds, and no death is seen before its end. So a copy of the process
// leaves it, with this thread's stack and without our descriptors, and we die at once. Where no
// copy can be made we dump ourselves.
void leave_core_to_a_copy(int number) {
    const long copy = ::syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    if (copy > 0) ::prctl(PR_SET_DUMPABLE, 0);
    if (copy != 0) return;
    ::prctl(PR_SET_NAME, "edge-core");  // Nobody's heir, and in nobody's way (lineage.cpp).
    ::syscall(SYS_close_range, 0U, ~0U, CLOSE_RANGE_UNSHARE);
    raise_again(number);
}

// Only stores and system calls: whatever has broken may be broken here, too.
void on_fault(int number) {
    Faults& faults = the_segment->faults;
    faults.times_ns[faults.count % kFaultsKept] = now_ns();
    faults.count += 1;
    faults.worker = this_worker;
    ::madvise(forgotten_stack.data(), forgotten_stack.size(), MADV_KEEPONFORK);
    leave_core_to_a_copy(number);
    raise_again(number);
}

}  // namespace

bool has_faulted_too_often(const Faults& faults) {
    if (faults.count < kFaultsKept) return false;
    std::int64_t oldest_ns = faults.times_ns[0];
    for (const std::int64_t time_ns : faults.times_ns)
        if (time_ns < oldest_ns) oldest_ns = time_ns;
    return now_ns() - oldest_ns < kFaultsWithinNs;
}

void catch_faults(Segment& segment) {
    the_segment = &segment;
    struct sigaction action {};
    action.sa_handler = on_fault;
    action.sa_flags = SA_ONSTACK;
    for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT})
        ::sigaction(number, &action, nullptr);
}

void catch_faults_of(std::uint32_t worker, std::span<char> stack, std::span<char> forgotten) {
    forgotten_stack = forgotten;
    stack_t on{};
    on.ss_sp = stack.data();
    on.ss_size = stack.size();
    ::sigaltstack(&on, nullptr);
    this_worker = worker + 1;
}

}  // namespace thole::edge
