#include "os/tree_owner.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "os/sync.h"
#include "os/tree_folders.h"

namespace thole::os {
namespace {

class Giving {
public:
    Giving(std::string path, uid_t from, env::Owner to)
        : path_(std::move(path)), from_(from), to_(to) {}

    // All that is in it.
    Status give_content(FileDescriptor folder, int depth) {
        if (depth == kTreeDepthMax)
            return conflict(path_ + ": folders in folders, more than 128 deep, stay whose they are")
                .with_hint("chown -R " + std::to_string(to_.uid) + " " + path_);
        const Reading reading = TRY(read_folder(std::move(folder), path_));
        while (const char* const name = next_name(reading.get()))
            TRY(give(::dirfd(reading.get()), name, depth));
        return errno == 0 ? success() : failed();
    }

private:
    Error failed() const { return from_errno(errno, "give " + path_ + " to another user"); }

    // By descriptor: a name may mean something else a moment later. What is not the former owner's
    // stays as it is: whoever could make another name of a stranger's file would get the file.
    Status give(int holder, const char* name, int depth) {
        const FileDescriptor entry(::openat(holder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        struct stat info {};
        if (!entry.is_open() || ::fstat(entry.get(), &info) != 0)
            return errno == ENOENT ? success() : failed();
        if (S_ISDIR(info.st_mode)) {
            FileDescriptor below(::openat(entry.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            if (!below.is_open()) return failed();
            TRY(give_content(std::move(below), depth + 1));
        }
        if (info.st_uid != from_) return success();
        if (::fchownat(entry.get(), "", to_.uid, to_.gid, AT_EMPTY_PATH) != 0) return failed();
        return success();
    }

    std::string path_;
    uid_t from_;
    env::Owner to_;
};

}  // namespace

Status hand_over_tree(const std::string& path, env::Owner owner, std::uint32_t mode) {
    TRY(check_tree_path(path));
    const FileDescriptor parent = TRY(open_folder(parent_of(path), For::Pass));
    const FileDescriptor folder = open_folder_at(parent.get(), last_part_of(path), For::Read);
    struct stat info {};
    if (!folder.is_open() || ::fstat(folder.get(), &info) != 0)
        return from_errno(errno, "open folder " + path);
    if (info.st_uid == owner.uid) return success();
    FileDescriptor content(::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!content.is_open()) return from_errno(errno, "open folder " + path);
    TRY(Giving(path, info.st_uid, owner).give_content(std::move(content), 0));
    // The folder itself comes last, and says that all of it is done.
    if (::syncfs(folder.get()) != 0) return from_errno(errno, "sync " + path);
    if (::fchown(folder.get(), owner.uid, owner.gid) != 0 ||
        ::fchmod(folder.get(), static_cast<mode_t>(mode)) != 0 || !sync_to_disk(folder.get()))
        return from_errno(errno, "give " + path + " to another user");
    return success();
}

}  // namespace thole::os
