#include "os/tree_folders.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "os/sync.h"

namespace thole::os {
namespace {

int flags_of(For use) { return O_DIRECTORY | O_CLOEXEC | (use == For::Pass ? O_PATH : O_RDONLY); }

bool has_bad_part(std::string_view name) {
    if (name.find('\0') != std::string_view::npos) return true;
    while (true) {
        const std::size_t slash = name.find('/');
        const std::string_view part = name.substr(0, slash);
        if (part.empty() || part == "." || part == "..") return true;
        if (slash == std::string_view::npos) return false;
        name.remove_prefix(slash + 1);
    }
}

// A name from outside as a message may show it.
std::string shown(std::string_view name) {
    std::string text;
    for (const char c : name) text += static_cast<unsigned char>(c) < ' ' ? '?' : c;
    return text;
}

// One that somebody else made meanwhile is taken as it is.
Result<FileDescriptor> make_parent_step(const std::string& path) {
    const FileDescriptor above = TRY(make_parent_of(path));
    const std::string name = last_part_of(path);
    if (::mkdirat(above.get(), name.c_str(), 0700) == 0) {
        if (::fchmodat(above.get(), name.c_str(), 0711, 0) != 0 || !sync_to_disk(above.get()))
            return from_errno(errno, "make folder " + path);
    } else if (errno != EEXIST) {
        return from_errno(errno, "make folder " + path);
    }
    return open_folder(path, For::Read);
}

}  // namespace

Result<Reading> read_folder(FileDescriptor folder, const std::string& path) {
    Reading reading(::fdopendir(folder.get()));
    if (reading == nullptr) return from_errno(errno, "read folder " + path);
    [[maybe_unused]] const int owned_now_by_reading = folder.release();
    return reading;
}

const char* next_name(DIR* folder) {
    while (true) {
        errno = 0;
        const dirent* const entry = ::readdir(folder);
        if (entry == nullptr) return nullptr;
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") return entry->d_name;
    }
}

Status check_tree_path(std::string_view path) {
    if (!path.starts_with('/') || has_bad_part(path.substr(1)))
        return invalid("path '" + shown(path) + "': must be absolute and without '.' and '..'");
    return success();
}

Status check_tree_name(std::string_view name) {
    if (has_bad_part(name)) {
        return invalid("file '" + shown(name) +
                       "': must be a relative name that leads out of nothing: no '..'");
    }
    return success();
}

std::string parent_of(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string last_part_of(std::string_view path) {
    return std::string(path.substr(path.rfind('/') + 1));
}

Result<FileDescriptor> open_folder(const std::string& path, For use) {
    FileDescriptor folder(::open(path.c_str(), flags_of(use)));
    if (!folder.is_open()) return from_errno(errno, "open folder " + path);
    return folder;
}

Result<FileDescriptor> make_parent_of(const std::string& path) {
    const std::string parent = parent_of(path);
    Result<FileDescriptor> folder = open_folder(parent, For::Read);
    if (folder.ok() || folder.error().code != Code::NotFound) return folder;
    return make_parent_step(parent);
}

FileDescriptor open_folder_at(int folder, const std::string& name, For use) {
    return FileDescriptor(::openat(folder, name.c_str(), flags_of(use) | O_NOFOLLOW));
}

Result<int> TreeFolders::holder_of(std::string_view name, Absent absent) {
    const std::size_t slash = name.rfind('/');
    if (slash == std::string_view::npos) return root_;
    const std::string_view holder = name.substr(0, slash);
    if (last_.is_open() && last_name_ == holder) return last_.get();
    last_.reset(-1);
    std::size_t end = 0;
    while (end != holder.size()) {
        end = std::min(holder.find('/', end + 1), holder.size());
        FileDescriptor next =
            TRY(step(last_.is_open() ? last_.get() : root_, holder.substr(0, end), absent));
        if (!next.is_open()) {
            last_.reset(-1);
            return -1;
        }
        last_ = std::move(next);
    }
    last_name_ = holder;
    return last_.get();
}

// `name` is of the tree; its last part is in `folder`.
Result<FileDescriptor> TreeFolders::step(int folder, std::string_view name, Absent absent) {
    const std::string part =
        name.rfind('/') == std::string_view::npos ? std::string(name) : last_part_of(name);
    FileDescriptor found = open_folder_at(folder, part, For::Pass);
    if (found.is_open()) return found;
    const bool is_absent = errno == ENOENT || errno == ENOTDIR || errno == ELOOP;
    if (!is_absent) return from_errno(errno, "open folder " + full(name));
    if (absent == Absent::Tell) return found;
    if (::mkdirat(folder, part.c_str(), 0700) != 0)
        return from_errno(errno, "make folder " + full(name));
    made_.emplace_back(name);
    found = open_folder_at(folder, part, For::Pass);
    if (!found.is_open()) return from_errno(errno, "open folder " + full(name));
    return found;
}

}  // namespace thole::os
