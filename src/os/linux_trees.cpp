// The digest, in the order of the names:
//
//     digest  = SHA-256 ( text(extra) *entry )
//     entry   = kind text(name) SHA-256(content)      ; 32 bytes, of a link: of what it says
//     kind    = "f" | "x" | "l"                       ; x: its owner may execute it, as git sees it
//     text(t) = length of t, u64 little-endian, then t
#include "os/linux_trees.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <memory>

#include "base/bytes.h"
#include "os/sync.h"
#include "os/tree_folders.h"
#include "os/tree_owner.h"
#include "os/tree_remains.h"

namespace thole::os {
namespace {

constexpr std::size_t kBlockBytes = 256 * 1024;
// More are synced with all of their file system: a sync of each waits for the disk each time.
constexpr std::size_t kSyncedOneByOneMax = 64;
constexpr std::size_t kCopyBytesAtOnce = 1024 * 1024 * 1024;

class Sha256 {
public:
    Sha256() : context_(EVP_MD_CTX_new()) {
        CHECK(context_ != nullptr);
        CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
    }
    void add(std::string_view bytes) {
        CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
    }
    void add_text(std::string_view text) {
        ByteWriter length;
        length.u64(text.size());
        add(length.bytes());
        add(text);
    }
    // The 32 bytes; nothing may be added after.
    std::string take() {
        std::string bytes(32, '\0');
        CHECK(EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(bytes.data()),
                                 nullptr) == 1);
        return bytes;
    }

private:
    struct Freer {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, Freer> context_;
};

// What a listed name is. Absent: there is nothing to copy.
enum class Kind { Absent, Plain, Executable, Link };

struct Entry {
    Kind kind = Kind::Absent;
    FileDescriptor file;  // Of Plain and Executable.
    std::string target;   // Of Link.
};

std::string_view letter_of(Kind kind) {
    switch (kind) {
        case Kind::Absent: return "";
        case Kind::Plain: return "f";
        case Kind::Executable: return "x";
        case Kind::Link: return "l";
    }
    return "";
}

Error refused(const std::string& path, std::string_view what) {
    return invalid(path + ": is " + std::string(what) +
                   "; a release holds only regular files and symbolic links")
        .with_hint("list it in .gitignore, or move it out of the service's folder");
}

std::string_view what_is(mode_t mode) {
    if (S_ISDIR(mode)) return "a folder (a repository of its own, or a submodule?)";
    if (S_ISFIFO(mode)) return "a named pipe";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

Result<std::vector<std::string>> sorted(const std::vector<std::string>& files) {
    std::vector<std::string> names = files;
    for (const std::string& name : names) {
        // git lists a repository inside another as "lib/".
        if (name.size() > 1 && name.ends_with('/')) return refused(name, what_is(S_IFDIR));
        TRY(check_tree_name(name));
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

// A file that became a folder whose own files are listed: git still lists the old one as deleted.
bool has_files_below(const std::vector<std::string>& names, const std::string& folder) {
    const auto next = std::lower_bound(names.begin(), names.end(), folder + "/");
    return next != names.end() && next->starts_with(folder + "/");
}

// The listed files of one folder, looked at one after the other.
class Listed {
public:
    Listed(FileDescriptor root, const std::string& path, std::vector<std::string> names)
        : root_(std::move(root)), folders_(root_.get(), path), names_(std::move(names)) {}

    const std::vector<std::string>& names() const { return names_; }
    std::string full(const std::string& name) const { return folders_.full(name); }

    Result<Entry> open(const std::string& name) {
        const int holder = TRY(folders_.holder_of(name, Absent::Tell));
        const std::string last = last_part_of(name);
        struct stat info {};
        if (holder < 0) return Entry{};
        if (::fstatat(holder, last.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
            if (errno == ENOENT) return Entry{};
            return from_errno(errno, "read " + full(name));
        }
        if (S_ISLNK(info.st_mode)) return read_link(holder, name);
        if (S_ISDIR(info.st_mode) && has_files_below(names_, name)) return Entry{};
        if (!S_ISREG(info.st_mode)) return refused(full(name), what_is(info.st_mode));
        return open_file(holder, name);
    }

private:
    Result<Entry> read_link(int holder, const std::string& name) {
        char target[PATH_MAX];
        const ssize_t size =
            ::readlinkat(holder, last_part_of(name).c_str(), target, sizeof(target));
        if (size < 0) return from_errno(errno, "read link " + full(name));
        Entry entry;
        entry.kind = Kind::Link;
        entry.target.assign(target, static_cast<std::size_t>(size));
        return entry;
    }

    Result<Entry> open_file(int holder, const std::string& name) {
        Entry entry;
        // Does not wait, should it have become a pipe since.
        entry.file =
            FileDescriptor(::openat(holder, last_part_of(name).c_str(),
                                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
        if (!entry.file.is_open()) {
            if (errno == ENOENT) return Entry{};
            return from_errno(errno, "read " + full(name));
        }
        struct stat info {};
        if (::fstat(entry.file.get(), &info) != 0) return from_errno(errno, "read " + full(name));
        if (!S_ISREG(info.st_mode)) return refused(full(name), what_is(info.st_mode));
        entry.kind = (info.st_mode & S_IXUSR) != 0 ? Kind::Executable : Kind::Plain;
        return entry;
    }

    FileDescriptor root_;
    TreeFolders folders_;
    std::vector<std::string> names_;
};

Result<Listed> list_files(const std::string& folder, const std::vector<std::string>& files) {
    TRY(check_tree_path(folder));
    std::vector<std::string> names = TRY(sorted(files));
    FileDescriptor root = TRY(open_folder(folder, For::Pass));
    return Listed(std::move(root), folder, std::move(names));
}

// Up to `size` bytes from where the file stands; 0: its end.
Result<std::size_t> read_block(int file, char* into, const std::string& path) {
    while (true) {
        const ssize_t got = ::read(file, into, kBlockBytes);
        if (got >= 0) return static_cast<std::size_t>(got);
        if (errno != EINTR) return from_errno(errno, "read " + path);
    }
}

Result<std::string> digest_of_file(int file, const std::string& path) {
    const std::unique_ptr<char[]> block = std::make_unique<char[]>(kBlockBytes);
    Sha256 sha;
    while (true) {
        const std::size_t size = TRY(read_block(file, block.get(), path));
        if (size == 0) return sha.take();
        sha.add({block.get(), size});
    }
}

// Shares the blocks where the file system can, and copies inside the kernel where it can.
Status copy_content(int from, int to, const std::string& from_path, const std::string& to_path) {
    while (true) {
        const ssize_t size = ::copy_file_range(from, nullptr, to, nullptr, kCopyBytesAtOnce, 0);
        if (size > 0 || (size < 0 && errno == EINTR)) continue;
        if (size < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            return from_errno(errno, "write " + to_path);
        break;  // The end, or it cannot; some file systems say "the end" where they cannot.
    }
    const std::unique_ptr<char[]> block = std::make_unique<char[]>(kBlockBytes);
    while (true) {
        std::size_t size = TRY(read_block(from, block.get(), from_path));
        if (size == 0) return success();
        for (const char* next = block.get(); size > 0;) {
            const ssize_t put = ::write(to, next, size);
            if (put < 0 && errno == EINTR) continue;
            if (put < 0) return from_errno(errno, "write " + to_path);
            next += put;
            size -= static_cast<std::size_t>(put);
        }
    }
}

bool may_give_away() { return ::geteuid() == 0; }

// Mode last: giving a file away may clear bits.
Status give(int fd, env::Owner owner, mode_t mode, const std::string& path) {
    if (may_give_away() && ::fchown(fd, owner.uid, owner.gid) != 0)
        return from_errno(errno, "change the owner of " + path);
    if (::fchmod(fd, mode) != 0) return from_errno(errno, "change the mode of " + path);
    return success();
}

Status sync_descriptor(int fd, const std::string& path) {
    if (!sync_to_disk(fd)) return from_errno(errno, "sync " + path);
    return success();
}

// One copy being made. First all content, then all syncs: by then most is on the disk.
class Copying {
public:
    Copying(Listed& from, FileDescriptor root, const env::CopyRequest& request)
        : from_(from), root_(std::move(root)), to_(root_.get(), request.to), request_(request) {}

    Status run() {
        for (const std::string& name : from_.names()) {
            const Entry entry = TRY(from_.open(name));
            if (entry.kind == Kind::Absent) continue;
            const int holder = TRY(to_.holder_of(name, Absent::Make));
            if (entry.kind == Kind::Link) {
                TRY(make_link_at(holder, name, entry.target));
            } else {
                TRY(make_file(holder, name, entry));
                copied_.push_back(name);
            }
        }
        TRY(finish_folders());
        return sync_all();
    }

private:
    Status make_link_at(int holder, const std::string& name, const std::string& target) {
        const std::string last = last_part_of(name);
        if (::symlinkat(target.c_str(), holder, last.c_str()) != 0)
            return from_errno(errno, "make link " + to_.full(name));
        if (may_give_away() && ::fchownat(holder, last.c_str(), request_.owner.uid,
                                          request_.owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
            return from_errno(errno, "change the owner of " + to_.full(name));
        return success();
    }

    Status make_file(int holder, const std::string& name, const Entry& entry) {
        const FileDescriptor file(::openat(holder, last_part_of(name).c_str(),
                                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                           0600));
        const std::string path = to_.full(name);
        if (!file.is_open()) return from_errno(errno, "make " + path);
        TRY(copy_content(entry.file.get(), file.get(), from_.full(name), path));
        // Only a nudge to begin writing; the sync is what counts.
        ::sync_file_range(file.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
        return give(file.get(), request_.owner, entry.kind == Kind::Executable ? 0755 : 0644, path);
    }

    Status sync_name(const std::string& name) {
        const int holder = TRY(to_.holder_of(name, Absent::Tell));
        const FileDescriptor file(
            ::openat(holder, last_part_of(name).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
        if (!file.is_open()) return from_errno(errno, "sync " + to_.full(name));
        return sync_descriptor(file.get(), to_.full(name));
    }

    // The deepest first: the owner can change nothing here while we work above.
    Status finish_folders() {
        for (auto name = to_.made().rbegin(); name != to_.made().rend(); ++name) {
            const int holder = TRY(to_.holder_of(*name, Absent::Tell));
            const FileDescriptor folder = open_folder_at(holder, last_part_of(*name), For::Read);
            if (!folder.is_open()) return from_errno(errno, "open folder " + to_.full(*name));
            TRY(give(folder.get(), request_.owner, 0755, to_.full(*name)));
        }
        return give(root_.get(), request_.owner, 0755, request_.to);
    }

    // Tells errors of any file since root_ was opened, which was before the first was written.
    Status sync_all() {
        if (copied_.size() + to_.made().size() > kSyncedOneByOneMax) {
            if (::syncfs(root_.get()) != 0) return from_errno(errno, "sync " + request_.to);
            return success();
        }
        for (const std::string& name : copied_) TRY(sync_name(name));
        for (const std::string& name : to_.made()) TRY(sync_name(name));
        return sync_descriptor(root_.get(), request_.to);
    }

    Listed& from_;
    FileDescriptor root_;
    TreeFolders to_;
    const env::CopyRequest& request_;
    std::vector<std::string> copied_;
};

bool is_same(const struct stat& left, const struct stat& right) {
    return left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}

// To make `to` anew would take away what is to be copied. Asks the kernel, not the paths: a link
// on the way changes nothing.
Status check_apart(const env::CopyRequest& request) {
    struct stat target {};
    if (::lstat(request.to.c_str(), &target) != 0) return success();
    FileDescriptor folder = TRY(open_folder(request.from, For::Pass));
    struct stat below {};
    while (true) {
        struct stat info {};
        if (::fstat(folder.get(), &info) != 0) return from_errno(errno, "read " + request.from);
        if (is_same(info, target))
            return invalid("copy " + request.from + " to " + request.to + ": it is inside of it");
        if (is_same(info, below)) return success();  // ".." of "/" is "/".
        below = info;
        folder = FileDescriptor(::openat(folder.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!folder.is_open()) return from_errno(errno, "read above " + request.from);
    }
}

Result<FileDescriptor> make_folder_anew(int parent, const std::string& path) {
    const std::string last = last_part_of(path);
    if (::mkdirat(parent, last.c_str(), 0700) != 0) return from_errno(errno, "make folder " + path);
    FileDescriptor folder = open_folder_at(parent, last, For::Read);
    if (!folder.is_open()) return from_errno(errno, "open folder " + path);
    return folder;
}

}  // namespace

Result<std::string> LinuxTrees::digest(const std::string& folder,
                                       const std::vector<std::string>& files,
                                       std::string_view extra) {
    Listed listed = TRY(list_files(folder, files));
    Sha256 sha;
    sha.add_text(extra);
    for (const std::string& name : listed.names()) {
        const Entry entry = TRY(listed.open(name));
        if (entry.kind == Kind::Absent) continue;
        sha.add(letter_of(entry.kind));
        sha.add_text(name);
        if (entry.kind == Kind::Link) {
            Sha256 target;
            target.add(entry.target);
            sha.add(target.take());
        } else {
            sha.add(TRY(digest_of_file(entry.file.get(), listed.full(name))));
        }
    }
    return to_hex(sha.take());
}

Status LinuxTrees::copy(const env::CopyRequest& request) {
    TRY(check_tree_path(request.to));
    Listed listed = TRY(list_files(request.from, request.files));
    TRY(check_apart(request));
    TRY(remove(request.to));
    const FileDescriptor parent = TRY(make_parent_of(request.to));
    FileDescriptor root = TRY(make_folder_anew(parent.get(), request.to));
    Status done = Copying(listed, std::move(root), request).run();
    if (done.ok()) return sync_descriptor(parent.get(), parent_of(request.to));
    // Half a copy is of no use, and takes room where that may be what was missing.
    [[maybe_unused]] const Status removed = remove(request.to);
    return done;
}

Status LinuxTrees::make_owned(const std::string& path, env::Owner owner, std::uint32_t mode) {
    TRY(check_tree_path(path));
    const FileDescriptor parent = TRY(make_parent_of(path));
    const std::string last = last_part_of(path);
    if (::mkdirat(parent.get(), last.c_str(), 0700) != 0 && errno != EEXIST)
        return from_errno(errno, "make folder " + path);
    const FileDescriptor folder = open_folder_at(parent.get(), last, For::Read);
    if (!folder.is_open() && (errno == ENOTDIR || errno == ELOOP))
        return conflict("make folder " + path + ": something else is there")
            .with_hint("move it away: mv " + path + " " + path + ".old");
    if (!folder.is_open()) return from_errno(errno, "open folder " + path);
    TRY(give(folder.get(), owner, static_cast<mode_t>(mode), path));
    TRY(sync_descriptor(folder.get(), path));
    return sync_descriptor(parent.get(), parent_of(path));
}

Status LinuxTrees::hand_over(const std::string& path, env::Owner owner, std::uint32_t mode) {
    struct stat info {};
    const bool is_there = ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    if (is_there && info.st_uid != owner.uid && may_give_away())
        TRY(hand_over_tree(path, owner, mode));
    return make_owned(path, owner, mode);
}

// What is in it may be many thousand files: with all of their file system.
Status LinuxTrees::sync(const std::string& path) {
    const FileDescriptor folder = TRY(open_folder(path, For::Read));
    if (::syncfs(folder.get()) != 0) return from_errno(errno, "sync " + path);
    return success();
}

Status LinuxTrees::remove(const std::string& path) { return remove_tree(path); }
Result<std::uint64_t> LinuxTrees::bytes_of(const std::string& path) { return bytes_of_tree(path); }

}  // namespace thole::os
