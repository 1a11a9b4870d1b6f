#include "edge/faults.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "edge/clock.h"
#include "edge/segment.h"
#include "edge/test_times.h"

namespace thole::edge {
namespace {

bool are_cores_files() {
    std::ifstream file("/proc/sys/kernel/core_pattern");
    std::string pattern;
    std::getline(file, pattern);
    return !pattern.empty() && pattern[0] != '|';
}

// How a process ended; the first to end, where any may.
int end_of(pid_t& pid) {
    int status = 0;
    pid = ::waitpid(pid, &status, 0);
    return status;
}

// Else nobody takes over before the dump is written, which may be seconds.
TEST(Faults, WhoeverFaultsIsDeadAtOnceAndLeavesItsCoreToACopy) {
    const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
    if (!are_cores_files() || ::setrlimit(RLIMIT_CORE, &unlimited) != 0)
        GTEST_SKIP() << "this machine writes no core files";
    ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0);  // The copy's parent dies.
    char folder[] = "/tmp/thole-faults-XXXXXX";
    ASSERT_NE(::mkdtemp(folder), nullptr);
    void* const memory = ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    ::madvise(memory, sizeof(Segment), MADV_DONTDUMP);
    auto* const segment = static_cast<Segment*>(memory);
    pid_t faulty = ::fork();
    if (faulty == 0) {
        if (::chdir(folder) != 0) ::_exit(1);
        ::setrlimit(RLIMIT_CORE, &unlimited);
        catch_faults(*segment);
        static char stack[64 * 1024];
        catch_faults_of(1, stack, {});
        ::raise(SIGSEGV);
        ::_exit(2);
    }
    const pid_t first = faulty;
    const int how = end_of(faulty);
    ASSERT_EQ(faulty, first);
    ASSERT_TRUE(WIFSIGNALED(how));
    EXPECT_EQ(WTERMSIG(how), SIGSEGV);
    EXPECT_FALSE(WCOREDUMP(how)) << "its death waited for the dump";
    EXPECT_EQ(segment->faults.worker, 2U);
    EXPECT_EQ(segment->faults.count, 1U);
    pid_t copy = -1;
    const int left = end_of(copy);
    ASSERT_GT(copy, 0);
    EXPECT_TRUE(WIFSIGNALED(left) && WTERMSIG(left) == SIGSEGV && WCOREDUMP(left));
    std::filesystem::remove_all(folder);
    ::munmap(memory, sizeof(Segment));
}

TEST(Faults, ThreeWithinFiveSecondsAreTooMany) {
    Faults faults{};
    faults.count = kFaultsKept;
    const std::int64_t now = now_ns();
    faults.times_ns[0] = now - 4 * kSecond;
    faults.times_ns[1] = now - 2 * kSecond;
    faults.times_ns[2] = now;
    EXPECT_TRUE(has_faulted_too_often(faults));
    faults.times_ns[0] = now - 6 * kSecond;
    EXPECT_FALSE(has_faulted_too_often(faults));
    faults.times_ns[0] = now;
    faults.count = kFaultsKept - 1;
    EXPECT_FALSE(has_faulted_too_often(faults));
}

}  // namespace
}  // namespace thole::edge
