#include "edge/disk_thread.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <thread>

#include "base/check.h"
#include "os/sync.h"

namespace thole::edge {
namespace {

void wait_for(int event) {
    std::uint64_t value = 0;
    while (::read(event, &value, sizeof(value)) != sizeof(value)) {}
}

void tell(int event) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(event, &one, sizeof(one));
}

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

}  // namespace

DiskThread::DiskThread(const std::string& folder)
    : folder_(folder),
      current_(folder + "/current"),
      aside_(folder + "/current.new"),
      asked_(::eventfd(0, EFD_CLOEXEC)),
      done_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    void* const at = ::mmap(nullptr, kSnapshotBytesMax, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(at != MAP_FAILED && asked_.is_open() && done_.is_open());
    ::madvise(at, kSnapshotBytesMax, MADV_DONTFORK);  // No business of a holder's.
    memory_ = static_cast<char*>(at);
}

void DiskThread::start() {
    std::thread([this] { run(); }).detach();
}

void DiskThread::read_snapshot(std::uint64_t version) { ask(Work::Read, version); }
void DiskThread::name_current(std::uint64_t version) { ask(Work::Name, version); }

void DiskThread::ask(Work work, std::uint64_t version) {
    work_ = work;
    error_ = 0;
    std::snprintf(number_, sizeof(number_), "%llu", static_cast<unsigned long long>(version));
    std::snprintf(file_, sizeof(file_), "%s/snapshot.%s", folder_.c_str(), number_);
    tell(asked_.get());
}

bool DiskThread::take_done() {
    std::uint64_t value = 0;
    return ::read(done_.get(), &value, sizeof(value)) == sizeof(value);
}

Status DiskThread::outcome() const {
    return error_ == 0 ? success() : Status(from_errno(error_, act_));
}

void DiskThread::run() {
    ::prctl(PR_SET_NAME, "edge-disk");
    while (true) {
        wait_for(asked_.get());
        [[maybe_unused]] const bool is_done = work_ == Work::Read ? read() : name();
        tell(done_.get());
    }
}

bool DiskThread::fail(const char* act) {
    error_ = errno == 0 ? EIO : errno;
    act_ = act;
    return false;
}

bool DiskThread::read() {
    size_ = 0;
    ::madvise(memory_, kSnapshotBytesMax, MADV_DONTNEED);
    const os::FileDescriptor fd(::open(file_, O_RDONLY | O_CLOEXEC));
    if (!fd.is_open()) return fail("open the snapshot");
    while (true) {
        const ssize_t got = ::read(fd.get(), memory_ + size_, kSnapshotBytesMax - size_);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail("read the snapshot");
        if (got == 0) return true;
        size_ += static_cast<std::size_t>(got);
        if (size_ < kSnapshotBytesMax) continue;
        errno = EFBIG;
        return fail("read the snapshot");
    }
}

// As os::LinuxFiles::replace does it, without a lock or memory of its own.
bool DiskThread::name() {
    {
        const os::FileDescriptor fd(
            ::open(aside_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!fd.is_open()) return fail("create edge/current.new");
        if (!write_all(fd.get(), number_)) return fail("write edge/current.new");
        if (!os::sync_to_disk(fd.get())) return fail("sync edge/current.new");
    }
    if (::rename(aside_.c_str(), current_.c_str()) != 0) return fail("rename to edge/current");
    const os::FileDescriptor folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.is_open() || !os::sync_to_disk(folder.get())) return fail("sync the edge's folder");
    return true;
}

}  // namespace thole::edge
