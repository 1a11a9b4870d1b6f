#include "os/fault_point.h"

#ifdef THOLE_FAULTS

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace thole::os {
namespace {

FaultFile* map_faults() {
    const char* const path = std::getenv("THOLE_FAULT_FILE");
    if (path == nullptr) return nullptr;
    const int fd = ::open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return nullptr;
    struct stat info {};
    void* at = MAP_FAILED;
    if (::fstat(fd, &info) == 0 && info.st_size >= static_cast<off_t>(sizeof(FaultFile)))
        at = ::mmap(nullptr, sizeof(FaultFile), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    return at == MAP_FAILED ? nullptr : static_cast<FaultFile*>(at);
}

// Each process asks once; a child of fork has its parent's mapping.
FaultFile* faults = nullptr;
bool has_asked = false;

}  // namespace

void fault_point(const char* place) {
    if (!has_asked) {
        has_asked = true;
        faults = map_faults();
    }
    if (faults == nullptr || __atomic_load_n(&faults->countdown, __ATOMIC_ACQUIRE) <= 0) return;
    if (faults->place[0] != '\0' && std::strcmp(faults->place, place) != 0) return;
    __atomic_add_fetch(&faults->visits, 1, __ATOMIC_RELAXED);
    if (__atomic_sub_fetch(&faults->countdown, 1, __ATOMIC_ACQ_REL) != 0) return;
    std::strncpy(faults->died_at, place, sizeof(faults->died_at) - 1);
    __atomic_store_n(&faults->died_pid, static_cast<std::uint32_t>(::getpid()), __ATOMIC_RELEASE);
    ::kill(::getpid(), SIGKILL);
}

}  // namespace thole::os

#endif
