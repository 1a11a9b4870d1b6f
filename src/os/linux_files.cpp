#include "os/linux_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "os/fd.h"
#include "os/sync.h"

namespace thole::os {
namespace {

Status write_all(int fd, std::string_view bytes, const std::string& path) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return from_errno(errno, "write " + path);
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return success();
}

class LinuxFile final : public env::File {
public:
    LinuxFile(FileDescriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

    Result<std::size_t> read_at(std::uint64_t offset, char* into, std::size_t size) override {
        std::size_t done = 0;
        while (done < size) {
            const ssize_t got =
                ::pread(fd_.get(), into + done, size - done, static_cast<off_t>(offset + done));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return from_errno(errno, "read " + path_);
            if (got == 0) break;
            done += static_cast<std::size_t>(got);
        }
        return done;
    }

    Status write_at(std::uint64_t offset, std::string_view bytes) override {
        while (!bytes.empty()) {
            const ssize_t put =
                ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (put < 0 && errno == EINTR) continue;
            if (put < 0) return from_errno(errno, "write " + path_);
            bytes.remove_prefix(static_cast<std::size_t>(put));
            offset += static_cast<std::uint64_t>(put);
        }
        return success();
    }

    Status truncate(std::uint64_t size) override {
        if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0)
            return from_errno(errno, "truncate " + path_);
        return success();
    }

    Status sync() override {
        if (::fsync(fd_.get()) != 0) return from_errno(errno, "sync " + path_);
        return success();
    }

    Result<std::uint64_t> size() override {
        struct stat info {};
        if (::fstat(fd_.get(), &info) != 0) return from_errno(errno, "stat " + path_);
        return static_cast<std::uint64_t>(info.st_size);
    }

private:
    FileDescriptor fd_;
    std::string path_;
};

std::string folder_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

}  // namespace

Result<std::unique_ptr<env::File>> LinuxFiles::open(const std::string& path, env::OpenMode mode) {
    int flags = O_CLOEXEC | (mode == env::OpenMode::Read ? O_RDONLY : O_RDWR);
    if (mode == env::OpenMode::Create) flags |= O_CREAT;
    FileDescriptor fd(::open(path.c_str(), flags, 0600));
    if (!fd.is_open()) return from_errno(errno, "open " + path);
    return std::unique_ptr<env::File>(std::make_unique<LinuxFile>(std::move(fd), path));
}

// It may lie where somebody else writes: a pipe with no writer must not hold us, nor a device.
Result<std::string> LinuxFiles::read(const std::string& path, std::size_t size_max) {
    FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd.is_open()) return from_errno(errno, "open " + path);
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return from_errno(errno, "stat " + path);
    if (!S_ISREG(info.st_mode)) return invalid("read " + path + ": it is no regular file");
    LinuxFile file(std::move(fd), path);
    std::string bytes;
    char block[16 * 1024];
    while (true) {
        const std::size_t got = TRY(file.read_at(bytes.size(), block, sizeof(block)));
        bytes.append(block, got);
        if (bytes.size() > size_max) return overload("read " + path + ": larger than expected");
        if (got < sizeof(block)) return bytes;
    }
}

Status LinuxFiles::replace(const std::string& path, std::string_view bytes,
                           env::Durability durability, std::uint32_t mode) {
    const std::string aside = path + ".new";
    const Status written = [&]() -> Status {
        const FileDescriptor fd(::open(aside.c_str(),
                                       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                                       static_cast<mode_t>(mode)));
        if (!fd.is_open()) return from_errno(errno, "create " + aside);
        TRY(write_all(fd.get(), bytes, aside));
        if (durability == env::Durability::Synced && ::fsync(fd.get()) != 0)
            return from_errno(errno, "sync " + aside);
        if (::rename(aside.c_str(), path.c_str()) != 0)
            return from_errno(errno, "rename to " + path);
        return success();
    }();
    if (!written.ok()) {
        ::unlink(aside.c_str());  // A full disk needs the room.
        return written;
    }
    if (durability == env::Durability::Synced) return sync_folder(folder_of(path));
    return success();
}

Status LinuxFiles::make_folder(const std::string& path, std::uint32_t mode) {
    if (exists(path)) return success();
    if (const std::string parent = folder_of(path); parent != "/") TRY(make_folder(parent, mode));
    if (::mkdir(path.c_str(), static_cast<mode_t>(mode)) != 0 && errno != EEXIST) {
        return from_errno(errno, "create folder " + path);
    }
    // Where we may write and not read, nobody lets us sync.
    const Status synced = sync_folder(folder_of(path));
    return !synced && synced.error().code == Code::Denied ? success() : synced;
}

Status LinuxFiles::sync_folder(const std::string& path) {
    const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.is_open()) return from_errno(errno, "open folder " + path);
    if (!sync_to_disk(fd.get())) return from_errno(errno, "sync folder " + path);
    return success();
}

Status LinuxFiles::remove(const std::string& path) {
    if (::remove(path.c_str()) != 0 && errno != ENOENT) return from_errno(errno, "remove " + path);
    return success();
}

Result<std::vector<env::FileInfo>> LinuxFiles::list(const std::string& path) {
    DIR* const folder = ::opendir(path.c_str());
    if (folder == nullptr) return from_errno(errno, "list " + path);
    std::vector<env::FileInfo> found;
    while (const dirent* entry = ::readdir(folder)) {
        const std::string name = entry->d_name;
        if (name == "." || name == "..") continue;
        struct stat info {};
        // One that went away meanwhile is not there.
        if (::fstatat(::dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        found.push_back({.name = name,
                         .is_folder = S_ISDIR(info.st_mode),
                         .size_bytes = static_cast<std::uint64_t>(info.st_size),
                         .allocated_bytes = static_cast<std::uint64_t>(info.st_blocks) * 512,
                         .modified = WallTime(std::chrono::seconds(info.st_mtim.tv_sec) +
                                              std::chrono::nanoseconds(info.st_mtim.tv_nsec))});
    }
    ::closedir(folder);
    std::sort(found.begin(), found.end(),
              [](const env::FileInfo& left, const env::FileInfo& right) {
                  return left.name < right.name;
              });
    return found;
}

bool LinuxFiles::exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace thole::os
