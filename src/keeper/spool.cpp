#include "keeper/spool.h"
#include "os/fault_point.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace thole::keeper {

SpoolWork plan_spool(std::uint64_t size, std::uint64_t punched, std::uint64_t allocated,
                     Holes holes) {
    SpoolWork work;
    if (size > (holes == Holes::Known ? kSpoolRestartBytes : kSpoolBytesMax)) {
        work.start_again = true;
        return work;
    }
    // An app may have truncated its own output: then nothing before its end is punched.
    const std::uint64_t gone = punched > size ? 0 : punched;
    if (size - gone > kSpoolBytesMax) {
        const std::uint64_t keep = kSpoolBytesMax - kSpoolSlackBytes;
        work.punch_to = (size - keep) & ~std::uint64_t{4095};
    }
    const std::uint64_t usable = allocated > size + 2 * kSpoolAheadBytes ? 0 : allocated;
    if (usable < size + kSpoolAheadBytes / 2) work.allocate_to = size + kSpoolAheadBytes;
    return work;
}

bool open_spool(const char* path, Spool& spool) {
    spool = Spool{};
    spool.fd = ::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (spool.fd < 0) return false;
    // Far behind its end, where there is nothing to lose.
    const bool is_known = ::fallocate(spool.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                      static_cast<off_t>(2 * kSpoolRestartBytes), 4096) == 0 ||
                          errno != EOPNOTSUPP;
    spool.holes = is_known ? Holes::Known : Holes::Unknown;
    return true;
}

void close_spool(Spool& spool) {
    if (spool.fd >= 0) ::close(std::exchange(spool.fd, -1));
}

void adopt_spool(Spool& spool, std::uint64_t& dropped_bytes) {
    // SEEK_DATA fails on an empty file, and says 0 where holes are not known.
    const off_t first = ::lseek(spool.fd, 0, SEEK_DATA);
    spool.punched = first > 0 ? static_cast<std::uint64_t>(first) : 0;
    dropped_bytes = std::max(dropped_bytes, spool.punched);
}

Trimmed trim_spool(Spool& spool, std::uint64_t& dropped_bytes) {
    struct stat info {};
    if (spool.fd < 0 || ::fstat(spool.fd, &info) != 0) return Trimmed::Calm;
    const auto size = static_cast<std::uint64_t>(info.st_size);
    // The app truncated it: it begins anew, and nothing of the new is gone.
    if (size < spool.size) spool.punched = spool.allocated = 0;
    const bool is_flood = size > spool.size + kSpoolFloodBytes;
    spool.size = size;
    const SpoolWork work = plan_spool(size, spool.punched, spool.allocated, spool.holes);
    if (work.start_again) {
        if (::ftruncate(spool.fd, 0) == 0) {
            dropped_bytes += size - spool.punched;
            spool.punched = spool.allocated = spool.size = 0;
        }
        return Trimmed::Flood;
    }
    if (work.punch_to > 0 && ::fallocate(spool.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                         static_cast<off_t>(work.punch_to)) == 0) {
        FAULT_POINT("spool, punched and not counted");
        dropped_bytes += work.punch_to - spool.punched;
        spool.punched = work.punch_to;
    }
    if (work.allocate_to > 0) {
        const std::uint64_t length = work.allocate_to - size;
        // Where the disk is full or cannot do it, the service still writes as far as it can; asked
        // again further on.
        [[maybe_unused]] const int done = ::fallocate(
            spool.fd, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(size), static_cast<off_t>(length));
        spool.allocated = work.allocate_to;
    }
    return is_flood ? Trimmed::Flood : Trimmed::Calm;
}

}  // namespace thole::keeper
