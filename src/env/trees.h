// Folders as wholes, as far as releases need them. Paths are absolute; file names in a list are
// relative to their folder. These calls block for long: only in Background.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace thole::env {

struct Owner {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
};

struct CopyRequest {
    std::string from;
    std::vector<std::string> files;  // Regular files and symbolic links; others are refused.
    std::string to;                  // Made anew: what stood there is removed first.
    Owner owner;                     // Of every file and folder in the copy, where we may give it.
};

class Trees {
public:
    virtual ~Trees() = default;
    // SHA-256 as 64 hexadecimal digits, over `extra` and, in the order of their names, each file's
    // name, kind, whether it is executable, and content. A file that is listed and not there (git
    // lists those that were deleted) counts as not listed. Links are read, never followed; a name
    // that is absolute or holds ".." is refused.
    virtual Result<std::string> digest(const std::string& folder,
                                       const std::vector<std::string>& files,
                                       std::string_view extra) = 0;
    // Copies, syncs every file and folder, and then only returns. Folders are 0755, files keep
    // whether they are executable (0755 or 0644), links are copied as they are.
    virtual Status copy(const CopyRequest& request) = 0;
    // A folder of this owner's own, 0700, with its parents (0711) as they are or made.
    virtual Status make_owned(const std::string& path, Owner owner, std::uint32_t mode) = 0;
    // The same, and where it was another's, all in it that was that one's is this owner's, too: the
    // folder itself last. Never follows a link. Only while nobody works in it.
    virtual Status hand_over(const std::string& path, Owner owner, std::uint32_t mode) = 0;
    // With all that is in it; never follows a link. Success where it is not there.
    virtual Status remove(const std::string& path) = 0;
    // All that is in it, and it itself, is on the disk when this returns.
    virtual Status sync(const std::string& path) = 0;
    // What the files below take on the disk.
    virtual Result<std::uint64_t> bytes_of(const std::string& path) = 0;
};

}  // namespace thole::env
