#include "edge/ticks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "os/fd.h"

namespace thole::edge {
namespace {

std::string file_in(const std::string& run_folder) { return run_folder + "/ticks"; }

}  // namespace

Ticks::Ticks(const std::string& run_folder) {
    const os::FileDescriptor fd(::open(file_in(run_folder).c_str(), O_RDWR | O_CLOEXEC));
    struct stat info {};
    if (!fd.is_open() || ::fstat(fd.get(), &info) != 0) return;
    void* const at =
        ::mmap(nullptr, sizeof(wire::TicksPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (at == MAP_FAILED) return;
    page_ = static_cast<wire::TicksPage*>(at);
    device_ = info.st_dev;
    inode_ = info.st_ino;
}

void Ticks::tell(std::int64_t now_ns) const {
    if (page_ == nullptr) return;
    __atomic_store_n(&page_->last[static_cast<std::uint32_t>(wire::Role::Edge)],
                     static_cast<std::uint64_t>(now_ns), __ATOMIC_RELAXED);
}

bool Ticks::is_out_of_date(const std::string& run_folder) const {
    struct stat info {};
    if (page_ == nullptr || ::stat(file_in(run_folder).c_str(), &info) != 0) return false;
    return info.st_dev != device_ || info.st_ino != inode_;
}

}  // namespace thole::edge
