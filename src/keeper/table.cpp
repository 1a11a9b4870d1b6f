#include "keeper/table.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/bytes.h"

namespace thole::keeper {
namespace {

__extension__ using Whole = unsigned __int128;

Whole to_whole(const wire::SlotClaim& claim) {
    Whole whole;
    std::memcpy(&whole, &claim, sizeof(whole));
    return whole;
}

// The text of /proc/<pid>/stat after the command's name, which may itself hold anything.
const char* read_stat(std::uint32_t pid, char* text, std::size_t size) {
    char path[64];
    std::snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return nullptr;
    const ssize_t got = ::read(fd, text, size - 1);
    ::close(fd);
    if (got <= 0) return nullptr;
    text[got] = '\0';
    const char* const name_end = std::strrchr(text, ')');
    return name_end == nullptr || name_end[1] != ' ' ? nullptr : name_end + 2;
}

std::uint64_t boot_number() {
    char text[64] = {};
    const int fd = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 1;
    const ssize_t got = ::read(fd, text, sizeof(text));
    ::close(fd);
    return got <= 0 ? 1 : fnv1a({text, static_cast<std::size_t>(got)});
}

void* map_file(const char* folder, const char* name, std::size_t size, MakeTable make) {
    char path[4400];
    std::snprintf(path, sizeof(path), "%s/%s", folder, name);
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make == MakeTable::Yes ? O_CREAT : 0);
    const int fd = ::open(path, flags, 0600);
    if (fd < 0) return nullptr;
    struct stat info {};
    const bool is_short = ::fstat(fd, &info) != 0 || static_cast<std::size_t>(info.st_size) < size;
    // Not ftruncate: where the file system is full, whoever writes to the mapping would be killed.
    const int error = !is_short               ? 0
                      : make == MakeTable::No ? EINVAL
                                              : ::posix_fallocate(fd, 0, static_cast<off_t>(size));
    if (error != 0) {
        ::close(fd);
        errno = error;
        return nullptr;
    }
    void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    return at == MAP_FAILED ? nullptr : at;
}

}  // namespace

bool exchange_claim(wire::SlotClaim& at, const wire::SlotClaim& expected,
                    const wire::SlotClaim& wanted) {
    return __sync_bool_compare_and_swap(reinterpret_cast<Whole*>(&at), to_whole(expected),
                                        to_whole(wanted));
}

wire::SlotClaim read_claim(const wire::SlotClaim& at) {
    // Swapping zero for zero reads all sixteen bytes at once.
    auto* const place = reinterpret_cast<Whole*>(const_cast<wire::SlotClaim*>(&at));
    const Whole whole = __sync_val_compare_and_swap(place, Whole{0}, Whole{0});
    wire::SlotClaim claim;
    std::memcpy(&claim, &whole, sizeof(claim));
    return claim;
}

bool is_shortage(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM; }

ProcessFacts facts_of(std::uint32_t pid) {
    ProcessFacts facts;
    char text[1024];
    errno = 0;
    const char* const state = read_stat(pid, text, sizeof(text));
    if (state == nullptr) {
        facts.is_unknown = is_shortage(errno);
        return facts;
    }
    // Fields 4 (parent) to 22 (start time); 3 is the state's letter.
    std::uint64_t fields[19] = {};
    char* at = const_cast<char*>(state) + 1;
    for (std::uint64_t& field : fields) field = std::strtoull(at, &at, 10);
    facts.is_there = fields[18] != 0;
    facts.has_ended = *state == 'Z' || *state == 'X';
    facts.is_runnable = *state == 'R';
    facts.pid = pid;
    facts.parent = static_cast<std::uint32_t>(fields[0]);
    facts.group = static_cast<std::uint32_t>(fields[1]);
    facts.session = static_cast<std::uint32_t>(fields[2]);
    facts.start_time = fields[18];
    return facts;
}

std::uint64_t start_time_of(std::uint32_t pid) {
    const ProcessFacts facts = facts_of(pid);
    return facts.has_ended ? 0 : facts.start_time;
}

bool is_runnable(std::uint32_t pid) { return facts_of(pid).is_runnable; }

std::uint32_t parent_of(std::uint32_t pid) { return facts_of(pid).parent; }

bool is_alive(const wire::SlotClaim& claim) {
    if (claim.pid == 0 || claim.pid == wire::kNobody || claim.start_time == 0) return false;
    const ProcessFacts facts = facts_of(claim.pid);
    if (facts.is_unknown) return ::kill(static_cast<pid_t>(claim.pid), 0) == 0 || errno == EPERM;
    return !facts.has_ended && facts.start_time == claim.start_time;
}

bool claim_for(wire::SlotRecord& record, pid_t process) {
    const auto pid = static_cast<std::uint32_t>(process);
    const std::uint64_t start_time = start_time_of(pid);
    if (start_time == 0) return false;
    while (true) {
        const wire::SlotClaim seen = read_claim(record.claim);
        if (seen.pid == pid && seen.start_time == start_time) return true;
        if (exchange_claim(record.claim, seen, {seen.generation + 1, pid, start_time})) return true;
    }
}

void record_end(wire::SlotRecord& record, std::uint32_t generation, const Ending& ending) {
    // Whoever looked a while ago may be late: the slot is another's, or its end is told already.
    std::uint32_t ended = __atomic_load_n(&record.ended_generation, __ATOMIC_ACQUIRE);
    if (ended == generation || read_claim(record.claim).generation != generation) return;
    record.wait_status = ending.wait_status;
    record.flags = ending.flags;
    record.oom_kills = ending.oom_kills;
    record.ended_time = now_nanoseconds();
    __atomic_compare_exchange_n(&record.ended_generation, &ended, generation, false,
                                __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

wire::SlotTable* map_table(const char* run_folder, MakeTable make) {
    auto* const table =
        static_cast<wire::SlotTable*>(map_file(run_folder, "slots", sizeof(wire::SlotTable), make));
    if (table == nullptr) return nullptr;
    const wire::SlotTableHeader& header = table->header;
    const bool fits =
        header.magic == wire::kSlotTableMagic && header.version == wire::kSlotTableVersion &&
        header.slots == wire::kSlotsMax && header.record_bytes == sizeof(wire::SlotRecord) &&
        header.boot == boot_number();
    if (fits) return table;
    if (make == MakeTable::No) {
        ::munmap(table, sizeof(wire::SlotTable));
        errno = EINVAL;
        return nullptr;
    }
    std::memset(static_cast<void*>(table), 0, sizeof(wire::SlotTable));
    table->header.version = wire::kSlotTableVersion;
    table->header.slots = wire::kSlotsMax;
    table->header.record_bytes = sizeof(wire::SlotRecord);
    table->header.boot = boot_number();
    __atomic_store_n(&table->header.magic, wire::kSlotTableMagic, __ATOMIC_RELEASE);
    return table;
}

wire::TicksPage* map_ticks(const char* run_folder, MakeTable make) {
    return static_cast<wire::TicksPage*>(
        map_file(run_folder, "ticks", sizeof(wire::TicksPage), make));
}

std::int64_t now_nanoseconds() {
    timespec at{};
    ::clock_gettime(CLOCK_BOOTTIME, &at);
    return static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
}

void tick(wire::TicksPage& page, wire::Role role) {
    __atomic_store_n(&page.last[static_cast<std::uint32_t>(role)],
                     static_cast<std::uint64_t>(now_nanoseconds()), __ATOMIC_RELAXED);
}

}  // namespace thole::keeper
