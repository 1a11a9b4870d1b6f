#include "control/vfs.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstring>

namespace thole::control {

struct VfsState {
    explicit VfsState(env::Files& env_files) : files(env_files) {}
    int fail(Error said, int code) {
        if (!error) error = std::move(said);
        return code;
    }

    env::Files& files;
    sqlite3_vfs vfs{};
    std::string name;
    WallTime wall{};
    std::optional<Error> error;
    bool is_sync_lost = false;
};

namespace {

constexpr int kSectorBytes = 4096;
constexpr int kPathBytesMax = 4096;
// 1970-01-01 as SQLite counts: milliseconds since noon of 24 November 4714 BC.
constexpr sqlite3_int64 kJulianOffsetMilliseconds = 210'866'760'000'000;

std::string folder_above(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

struct VfsFile {
    VfsState& state;
    std::unique_ptr<env::File> file;
    std::string path;
    bool is_name_synced = false;
};

// What SQLite allocates, and knows the first member of.
struct SqliteFile {
    sqlite3_file base;
    VfsFile* content;
};

VfsFile& content_of(sqlite3_file* file) { return *reinterpret_cast<SqliteFile*>(file)->content; }
VfsState& state_of(sqlite3_vfs* vfs) { return *static_cast<VfsState*>(vfs->pAppData); }

int vfs_close(sqlite3_file* file) {
    const std::unique_ptr<VfsFile> ended(&content_of(file));
    return SQLITE_OK;
}

int vfs_read(sqlite3_file* file, void* to, int count, sqlite3_int64 offset) {
    VfsFile& content = content_of(file);
    const auto size = static_cast<std::size_t>(count);
    Result<std::size_t> got =
        content.file->read_at(static_cast<std::uint64_t>(offset), static_cast<char*>(to), size);
    if (!got) return content.state.fail(std::move(got).error(), SQLITE_IOERR_READ);
    if (*got == size) return SQLITE_OK;
    std::memset(static_cast<char*>(to) + *got, 0, size - *got);
    return SQLITE_IOERR_SHORT_READ;
}

int vfs_write(sqlite3_file* file, const void* from, int count, sqlite3_int64 offset) {
    VfsFile& content = content_of(file);
    Status status = content.file->write_at(
        static_cast<std::uint64_t>(offset),
        std::string_view(static_cast<const char*>(from), static_cast<std::size_t>(count)));
    if (status) return SQLITE_OK;
    const int code = status.error().code == Code::Overload ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    return content.state.fail(std::move(status).error(), code);
}

int vfs_truncate(sqlite3_file* file, sqlite3_int64 size) {
    VfsFile& content = content_of(file);
    Status status = content.file->truncate(static_cast<std::uint64_t>(size));
    if (status) return SQLITE_OK;
    return content.state.fail(std::move(status).error(), SQLITE_IOERR_TRUNCATE);
}

// The first sync of a file makes its name durable, too, whoever made the file: an earlier life may
// have ended in between.
int vfs_sync(sqlite3_file* file, int) {
    VfsFile& content = content_of(file);
    Status status = content.file->sync();
    if (status && !content.is_name_synced) {
        status = content.state.files.sync_folder(folder_above(content.path));
        content.is_name_synced = status.ok();
    }
    if (status) return SQLITE_OK;
    content.state.is_sync_lost = true;
    return content.state.fail(std::move(status).error(), SQLITE_IOERR_FSYNC);
}

int vfs_size(sqlite3_file* file, sqlite3_int64* size) {
    VfsFile& content = content_of(file);
    Result<std::uint64_t> found = content.file->size();
    if (!found) return content.state.fail(std::move(found).error(), SQLITE_IOERR_FSTAT);
    *size = static_cast<sqlite3_int64>(*found);
    return SQLITE_OK;
}

int vfs_lock(sqlite3_file*, int) { return SQLITE_OK; }

int vfs_is_reserved(sqlite3_file*, int* reserved) {
    *reserved = 0;
    return SQLITE_OK;
}

int vfs_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int vfs_sector(sqlite3_file*) { return kSectorBytes; }
// A write that is cut short leaves the bytes beside it alone: SQLite's own assumption on Linux.
int vfs_traits(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

// Version 1: no shared memory, no mapped pages.
const sqlite3_io_methods kVfsMethods = {
    1,        vfs_close, vfs_read,        vfs_write,   vfs_truncate, vfs_sync,   vfs_size,
    vfs_lock, vfs_lock,  vfs_is_reserved, vfs_control, vfs_sector,   vfs_traits, nullptr,
    nullptr,  nullptr,   nullptr,         nullptr,     nullptr};

int vfs_open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* flags_out) {
    file->pMethods = nullptr;
    VfsState& state = state_of(vfs);
    // Temporary files: the store's settings keep them in memory.
    if (name == nullptr) {
        return state.fail(unavailable("open a temporary file: not offered"), SQLITE_CANTOPEN);
    }
    env::OpenMode mode = env::OpenMode::Read;
    if ((flags & SQLITE_OPEN_READWRITE) != 0) mode = env::OpenMode::ReadWrite;
    if ((flags & SQLITE_OPEN_CREATE) != 0) mode = env::OpenMode::Create;
    Result<std::unique_ptr<env::File>> opened = state.files.open(name, mode);
    if (!opened) return state.fail(std::move(opened).error(), SQLITE_CANTOPEN);
    std::unique_ptr<VfsFile> content(new VfsFile{state, std::move(*opened), name});
    auto* made = reinterpret_cast<SqliteFile*>(file);
    made->content = content.release();
    made->base.pMethods = &kVfsMethods;
    if (flags_out != nullptr) *flags_out = flags;
    return SQLITE_OK;
}

int vfs_delete(sqlite3_vfs* vfs, const char* name, int sync_folder) {
    VfsState& state = state_of(vfs);
    Status status = state.files.remove(name);
    if (!status) return state.fail(std::move(status).error(), SQLITE_IOERR_DELETE);
    if (sync_folder != 0) status = state.files.sync_folder(folder_above(name));
    if (status) return SQLITE_OK;
    state.is_sync_lost = true;
    return state.fail(std::move(status).error(), SQLITE_IOERR_DIR_FSYNC);
}

int vfs_access(sqlite3_vfs* vfs, const char* name, int, int* there) {
    *there = state_of(vfs).files.exists(name) ? 1 : 0;
    return SQLITE_OK;
}

int vfs_full_path(sqlite3_vfs*, const char* name, int size, char* to) {
    const std::size_t length = std::strlen(name);
    if (length >= static_cast<std::size_t>(size)) return SQLITE_CANTOPEN;
    std::memcpy(to, name, length + 1);
    return SQLITE_OK;
}

// Never asked while another VFS is SQLite's default.
int vfs_random(sqlite3_vfs*, int size, char* to) {
    std::memset(to, 0, static_cast<std::size_t>(size));
    return size;
}

// There is nobody to wait for.
int vfs_sleep(sqlite3_vfs*, int microseconds) { return microseconds; }

int vfs_time_milliseconds(sqlite3_vfs* vfs, sqlite3_int64* time) {
    const Duration wall = state_of(vfs).wall.time_since_epoch();
    *time = kJulianOffsetMilliseconds + milliseconds_of(wall);
    return SQLITE_OK;
}

int vfs_time_days(sqlite3_vfs* vfs, double* days) {
    sqlite3_int64 milliseconds = 0;
    vfs_time_milliseconds(vfs, &milliseconds);
    *days = static_cast<double>(milliseconds) / 86'400'000.0;
    return SQLITE_OK;
}

}  // namespace

Vfs::Vfs(env::Files& files) : state_(std::make_unique<VfsState>(files)) {
    state_->name = fmt::format("thole-{}", fmt::ptr(state_.get()));
    sqlite3_vfs& vfs = state_->vfs;
    vfs.iVersion = 2;
    vfs.szOsFile = sizeof(SqliteFile);
    vfs.mxPathname = kPathBytesMax;
    vfs.zName = state_->name.c_str();
    vfs.pAppData = state_.get();
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    vfs.xAccess = vfs_access;
    vfs.xFullPathname = vfs_full_path;
    vfs.xRandomness = vfs_random;
    vfs.xSleep = vfs_sleep;
    vfs.xCurrentTime = vfs_time_days;
    vfs.xCurrentTimeInt64 = vfs_time_milliseconds;
    CHECK(sqlite3_vfs_register(&vfs, 0) == SQLITE_OK);
}

Vfs::~Vfs() { sqlite3_vfs_unregister(&state_->vfs); }

const std::string& Vfs::name() const { return state_->name; }
void Vfs::set_wall(WallTime wall) { state_->wall = wall; }
std::optional<Error> Vfs::take_error() { return std::exchange(state_->error, std::nullopt); }
bool Vfs::has_lost_a_sync() const { return state_->is_sync_lost; }

}  // namespace thole::control
