#include "os/tree_remains.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include "os/tree_folders.h"

namespace thole::os {
namespace {

constexpr int kRoundsMax = 16;       // Against one who makes files as quickly as we remove them.
constexpr int kLiftedMax = 100'000;  // Folders 12 million deep.

class Removal {
public:
    explicit Removal(std::string path) : path_(std::move(path)) {}

    Status run() {
        const std::string last = last_part_of(path_);
        const Result<FileDescriptor> parent = open_folder(parent_of(path_), For::Pass);
        if (!parent.ok() && parent.error().code == Code::NotFound) return success();
        if (!parent.ok()) return parent.error();
        struct stat info {};
        if (::fstatat(parent->get(), last.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
            return errno == ENOENT ? success() : error_of(errno, last);
        device_ = info.st_dev;
        return remove_entry(parent->get(), last, 0);
    }

private:
    Error error_of(int number, const std::string& name) const {
        const std::string where = name == last_part_of(path_) ? path_ : name + " in " + path_;
        return from_errno(number, "remove " + where);
    }

    Status remove_entry(int holder, const std::string& name, int depth) {
        if (::unlinkat(holder, name.c_str(), 0) == 0 || errno == ENOENT) return success();
        const int why = errno;
        FileDescriptor folder = open_to_empty(holder, name);
        if (!folder.is_open()) {
            if (errno == ENOENT) return success();
            // No folder: what unlink said counts.
            return error_of(errno == ENOTDIR || errno == ELOOP ? why : errno, name);
        }
        if (depth == 0) top_ = folder.get();
        if (depth == kTreeDepthMax) return lift(holder, name);
        return remove_folder(std::move(folder), {holder, name, depth});
    }

    // A program may have taken its own right to write away (Go's module cache does).
    static FileDescriptor open_to_empty(int holder, const std::string& name) {
        FileDescriptor folder = open_folder_at(holder, name, For::Read);
        if (!folder.is_open() && errno == EACCES &&
            ::fchmodat(holder, name.c_str(), 0700, AT_SYMLINK_NOFOLLOW) == 0) {
            folder = open_folder_at(holder, name, For::Read);
        }
        struct stat info {};
        if (folder.is_open() && ::fstat(folder.get(), &info) == 0 &&
            (info.st_mode & S_IRWXU) != S_IRWXU) {
            // Where it does not help, removing says so.
            [[maybe_unused]] const int done = ::fchmod(folder.get(), 0700);
        }
        return folder;
    }

    struct Place {
        int holder;
        const std::string& name;
        int depth;
    };

    Status remove_folder(FileDescriptor folder, const Place& place) {
        struct stat info {};
        if (::fstat(folder.get(), &info) != 0) return error_of(errno, place.name);
        if (info.st_dev != device_) {
            return conflict("remove " + path_ + ": another file system is mounted at " +
                            place.name + " in it")
                .with_hint("umount it");
        }
        const Reading reading = TRY(read_folder(std::move(folder), place.name));
        for (int rounds = 0; rounds < kRoundsMax;) {
            const int lifted_before = lifted_;
            ::rewinddir(reading.get());
            while (const char* const name = next_name(reading.get()))
                TRY(remove_entry(::dirfd(reading.get()), name, place.depth + 1));
            if (errno != 0) return error_of(errno, place.name);
            if (::unlinkat(place.holder, place.name.c_str(), AT_REMOVEDIR) == 0) return success();
            if (errno == ENOENT) return success();
            if (errno != ENOTEMPTY && errno != EEXIST) break;
            // Something was made meanwhile; what we lifted to here does not count.
            if (lifted_ == lifted_before) ++rounds;
        }
        return error_of(errno, place.name);
    }

    // Too deep to go on: becomes a folder of the topmost one, whose next round meets it there. One
    // of that name which is there goes anyway: an empty folder is replaced, else the next is tried.
    Status lift(int holder, const std::string& name) {
        while (lifted_ < kLiftedMax) {
            const std::string new_name = ".deep-" + std::to_string(lifted_++);
            if (::renameat(holder, name.c_str(), top_, new_name.c_str()) == 0) return success();
            if (errno == ENOENT) return success();
            if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR) break;
        }
        return error_of(errno, name);
    }

    std::string path_;
    dev_t device_ = 0;
    int top_ = -1;  // The descriptor of path_ itself, while below it.
    int lifted_ = 0;
};

class Sum {
public:
    Status add_folder(FileDescriptor folder, const std::string& path, int depth) {
        const Reading reading = TRY(read_folder(std::move(folder), path));
        while (const char* const name = next_name(reading.get())) {
            struct stat info {};
            const int holder = ::dirfd(reading.get());
            // One that went away meanwhile takes nothing.
            if (::fstatat(holder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
            add(info);
            if (!S_ISDIR(info.st_mode) || depth == kTreeDepthMax) continue;
            FileDescriptor below = open_folder_at(holder, name, For::Read);
            if (!below.is_open() && (errno == ENOENT || errno == ENOTDIR)) continue;
            if (!below.is_open()) return from_errno(errno, "read folder " + path + "/" + name);
            TRY(add_folder(std::move(below), path + "/" + name, depth + 1));
        }
        if (errno != 0) return from_errno(errno, "read folder " + path);
        return success();
    }
    void add(const struct stat& info) {
        if (!S_ISDIR(info.st_mode) && info.st_nlink > 1 &&
            !seen_.emplace(info.st_dev, info.st_ino).second)
            return;
        bytes_ += static_cast<std::uint64_t>(info.st_blocks) * 512;
    }
    std::uint64_t bytes() const { return bytes_; }

private:
    std::set<std::pair<dev_t, ino_t>> seen_;  // Those with more than one name.
    std::uint64_t bytes_ = 0;
};

}  // namespace

Status remove_tree(const std::string& path) {
    TRY(check_tree_path(path));
    return Removal(path).run();
}

Result<std::uint64_t> bytes_of_tree(const std::string& path) {
    TRY(check_tree_path(path));
    const FileDescriptor parent = TRY(open_folder(parent_of(path), For::Pass));
    FileDescriptor folder = open_folder_at(parent.get(), last_part_of(path), For::Read);
    struct stat info {};
    if (!folder.is_open() || ::fstat(folder.get(), &info) != 0)
        return from_errno(errno, "read folder " + path);
    Sum sum;
    sum.add(info);
    TRY(sum.add_folder(std::move(folder), path, 1));
    return sum.bytes();
}

}  // namespace thole::os
