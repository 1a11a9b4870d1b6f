// fsync(2) as it can be had of a file or a folder.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace thole::os {

// Some file systems (FUSE, network) know no sync of a folder and say EINVAL: their names are as
// durable as they make them, and nothing better is to be had. errno says why it is false.
inline bool sync_to_disk(int fd) {
    if (::fsync(fd) == 0) return true;
    const int why = errno;
    struct stat seen {};
    const bool is_folder = ::fstat(fd, &seen) == 0 && S_ISDIR(seen.st_mode);
    errno = why;
    return why == EINVAL && is_folder;
}

}  // namespace thole::os
