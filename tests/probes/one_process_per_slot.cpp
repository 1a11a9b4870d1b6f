// Probe: may a keeper die at any of its system calls without a slot ever holding two processes?
//
// A small keeper fills eight slots with sleepers. It is traced and killed at its n-th system call
// (entry or exit), for n = 1, 2, …, and the next one takes over by the slot table alone: no cgroup
// is used. Before each round an instance or two are killed, and in every tenth a second keeper
// starts at the same moment.
//
//     one_process_per_slot [rounds]      default 2000; run it as root and as nobody: both must hold
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include "wire/slots.h"

namespace {

using thole::wire::SlotClaim;
constexpr int kSlots = 8;

SlotClaim* table = nullptr;  // In shared memory that outlives every keeper.
// There, too: which keeper works, and how often one began beside another.
std::atomic<std::uint32_t>* working = nullptr;
std::atomic<std::uint32_t>* beside = nullptr;
std::string folder;
std::string token;

// The claim changes whole or not at all (cmpxchg16b; the build has -mcx16).
__extension__ using Whole = unsigned __int128;
bool exchange_claim(SlotClaim& at, const SlotClaim& expected, const SlotClaim& wanted) {
    Whole before, after;
    std::memcpy(&before, &expected, sizeof(before));
    std::memcpy(&after, &wanted, sizeof(after));
    return __sync_bool_compare_and_swap(reinterpret_cast<Whole*>(&at), before, after);
}

SlotClaim read_claim(SlotClaim& at) {
    const Whole whole =
        __sync_val_compare_and_swap(reinterpret_cast<Whole*>(&at), Whole{0}, Whole{0});
    SlotClaim claim;
    std::memcpy(&claim, &whole, sizeof(claim));
    return claim;
}

// Field 22 of /proc/<pid>/stat, 0 where there is no such process or it runs no more: a zombie, or
// one whose exit has begun (PF_EXITING in field 9), which has given up its locks already.
std::uint64_t start_time_of(std::uint32_t pid) {
    char path[64], text[1024];
    std::snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    const ssize_t got = ::read(fd, text, sizeof(text) - 1);
    ::close(fd);
    if (got <= 0) return 0;
    text[got] = '\0';
    const char* at = std::strrchr(text, ')');
    if (at == nullptr || at[2] == 'Z') return 0;
    for (int field = 2; field < 22 && at != nullptr; ++field) {
        if (field == 9 && (std::strtoul(at + 1, nullptr, 10) & 0x4) != 0) return 0;
        at = std::strchr(at + 1, ' ');
    }
    return at == nullptr ? 0 : std::strtoull(at + 1, nullptr, 10);
}

bool is_alive(const SlotClaim& claim) {
    return claim.pid != 0 && start_time_of(claim.pid) == claim.start_time;
}

// Between fork and exec: claim, then become the service. A child that comes too late finds another
// generation and ends.
[[noreturn]] void become_instance(int slot, std::uint32_t generation, int lock) {
    ::close(lock);  // First: else a child that hangs would hold the lock of a dead keeper.
    const auto pid = static_cast<std::uint32_t>(::getpid());
    // Some children are slow to come here, as on a machine without a free core: they outlive their
    // keeper unclaimed.
    const timespec slow{0, pid % 4 == 0 ? 3'000'000 : 0};
    ::nanosleep(&slow, nullptr);
    const SlotClaim armed{generation, 0, 0};
    const SlotClaim mine{generation, pid, start_time_of(pid)};
    if (!exchange_claim(table[slot], armed, mine)) ::_exit(77);
    const std::string mark = "THOLE_PROBE=" + token + ":" + std::to_string(slot);
    char* const arguments[] = {const_cast<char*>("sleep"), const_cast<char*>("1000"), nullptr};
    char* const environment[] = {const_cast<char*>(mark.c_str()), nullptr};
    ::execve("/bin/sleep", arguments, environment);
    ::_exit(78);
}

// Fills what is empty until it is told to stop; ends by itself once all slots are filled and
// `rounds` are over.
[[noreturn]] void run_keeper() {
    const int lock = ::open((folder + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct flock wanted {};
    wanted.l_type = F_WRLCK;
    for (int tries = 0; ::fcntl(lock, F_OFD_SETLK, &wanted) != 0; ++tries) {
        if (tries == 200) ::_exit(75);  // Another keeper lives.
        const timespec pause{0, 1'000'000};
        ::nanosleep(&pause, nullptr);
    }
    const auto self = static_cast<std::uint32_t>(::getpid());
    if (start_time_of(working->exchange(self)) != 0) ++*beside;
    for (int pass = 0; pass < 3; ++pass) {
        for (int slot = 0; slot < kSlots; ++slot) {
            const SlotClaim seen = read_claim(table[slot]);
            if (is_alive(seen)) continue;
            // Whoever of an earlier generation is still on its way finds this one and ends.
            const SlotClaim armed{seen.generation + 1, 0, 0};
            if (!exchange_claim(table[slot], seen, armed)) continue;
            const pid_t child = ::fork();
            if (child == 0) become_instance(slot, armed.generation, lock);
            // This round's child is given time to claim; a keeper waits for events instead.
            for (int i = 0; i < 20 && read_claim(table[slot]).pid == 0; ++i) {
                int status = 0;
                if (::waitpid(child, &status, WNOHANG) == child) break;
                const timespec pause{0, 50'000};
                ::nanosleep(&pause, nullptr);
            }
        }
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {}
    }
    std::uint32_t mine = self;
    working->compare_exchange_strong(mine, 0);
    ::_exit(0);
}

// All processes that were started as instances of this probe, by slot.
std::map<int, std::vector<pid_t>> find_instances() {
    std::map<int, std::vector<pid_t>> found;
    DIR* const all = ::opendir("/proc");
    const std::string mark = "THOLE_PROBE=" + token + ":";
    while (const dirent* entry = ::readdir(all)) {
        const pid_t pid = std::atoi(entry->d_name);
        if (pid <= 0) continue;
        const int fd = ::open(("/proc/" + std::string(entry->d_name) + "/environ").c_str(),
                              O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        char text[256];
        const ssize_t got = ::read(fd, text, sizeof(text) - 1);
        ::close(fd);
        if (got <= static_cast<ssize_t>(mark.size()) ||
            std::strncmp(text, mark.c_str(), mark.size()) != 0)
            continue;
        text[got] = '\0';
        if (start_time_of(static_cast<std::uint32_t>(pid)) == 0) continue;
        found[std::atoi(text + mark.size())].push_back(pid);
    }
    ::closedir(all);
    return found;
}

struct Round {
    int stops = 0;       // System call entries and exits seen.
    bool ended = false;  // By itself, before the n-th.
    int code = 0;
};

// Runs a keeper under trace and kills it at its n-th stop.
Round run_traced(int stop_at) {
    const pid_t keeper = ::fork();
    if (keeper == 0) {
        ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
        ::raise(SIGSTOP);
        run_keeper();
    }
    Round round;
    int status = 0;
    ::waitpid(keeper, &status, 0);
    ::ptrace(PTRACE_SETOPTIONS, keeper, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
    int pass_on = 0;
    while (true) {
        ::ptrace(PTRACE_SYSCALL, keeper, nullptr, pass_on);
        if (::waitpid(keeper, &status, 0) != keeper) break;
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            round.ended = true;
            round.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
            return round;
        }
        const int signal = WSTOPSIG(status);
        pass_on = signal == (SIGTRAP | 0x80) ? 0 : signal;
        if (pass_on == 0 && ++round.stops == stop_at) break;
    }
    ::kill(keeper, SIGKILL);
    ::waitpid(keeper, &status, 0);
    return round;
}

// Orphans come to us; those who lost their slot end by themselves.
void reap() {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {}
}

bool check_no_slot_twice(int round) {
    bool good = true;
    for (const auto& [slot, pids] : find_instances()) {
        if (pids.size() > 1) {
            std::printf("round %d: slot %d holds %zu processes\n", round, slot, pids.size());
            good = false;
        }
    }
    return good;
}

int run(int rounds) {
    char name[] = "/dev/shm/thole-probe-XXXXXX";
    folder = ::mkdtemp(name);
    token = std::to_string(::getpid());
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    table = static_cast<SlotClaim*>(
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    working = reinterpret_cast<std::atomic<std::uint32_t>*>(table + kSlots);
    beside = working + 1;
    int killed = 0, twice = 0, rivals = 0, both = 0, stop_at = 1, longest = 0;
    for (int round = 0; round < rounds; ++round) {
        const SlotClaim victim = read_claim(table[round % kSlots]);
        if (is_alive(victim)) ::kill(static_cast<pid_t>(victim.pid), SIGKILL);
        reap();
        pid_t rival = 0;
        if (round % 10 == 9) {
            ++rivals;
            rival = ::fork();
            if (rival == 0) run_keeper();
        }
        const Round seen = run_traced(stop_at);
        stop_at = seen.ended ? 1 : stop_at + 1;
        longest = seen.stops > longest ? seen.stops : longest;
        killed += seen.ended ? 0 : 1;
        if (rival != 0) {
            int status = 0;
            ::waitpid(rival, &status, 0);
            // Both at once would both have got the lock.
            both += seen.ended && seen.code == 75 && WIFEXITED(status) && WEXITSTATUS(status) == 75
                        ? 1
                        : 0;
        }
        reap();
        if (!check_no_slot_twice(round)) ++twice;
    }
    const pid_t last = ::fork();
    if (last == 0) run_keeper();
    int status = 0;
    ::waitpid(last, &status, 0);
    const std::map<int, std::vector<pid_t>> found = find_instances();
    std::size_t filled = 0;
    for (const auto& [slot, pids] : found) {
        filled +=
            pids.size() == 1 && static_cast<std::uint32_t>(pids[0]) == read_claim(table[slot]).pid
                ? 1U
                : 0U;
        for (const pid_t pid : pids) ::kill(pid, SIGKILL);
    }
    reap();
    ::unlink((folder + "/lock").c_str());
    ::rmdir(folder.c_str());
    std::printf(
        "uid %u: %d rounds, %d keepers killed at up to %d stops, %d with a rival; rounds with a "
        "slot twice %d, "
        "nobody keeper %d, two keepers at once %u, slots filled at the end %zu of %d\n",
        ::getuid(), rounds, killed, longest, rivals, twice, both, beside->load(), filled, kSlots);
    return twice == 0 && both == 0 && *beside == 0 && filled == kSlots ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) { return run(argc > 1 ? std::atoi(argv[1]) : 2000); }
