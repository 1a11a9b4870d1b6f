// How many seeds a second a simulated control could run: each seed opens a new SQLite database on a
// file system in memory, and a small loop with virtual time commits 300 transactions to it.
//
//     cmake --preset ci && ninja -C build/ci sqlite_vfs_speed && build/ci/bin/sqlite_vfs_speed 50
//
// It answers one question (decision 3) and is no part of thole.
#include <sqlite3.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <queue>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/random.h"

namespace {

using Bytes = std::vector<unsigned char>;
constexpr int kTransactions = 300;
constexpr std::int64_t kSlots = 16;

// The disk of one seed: names and contents. SQLite's default VFS finds it here.
std::map<std::string, Bytes>* disk = nullptr;
std::int64_t syncs = 0;

struct MemoryFile {
    sqlite3_file base;
    Bytes* bytes;
};

Bytes& bytes_of(sqlite3_file* file) { return *reinterpret_cast<MemoryFile*>(file)->bytes; }

int file_close(sqlite3_file*) { return SQLITE_OK; }

int file_read(sqlite3_file* file, void* to, int count, sqlite3_int64 offset) {
    const Bytes& bytes = bytes_of(file);
    const auto from = std::min(static_cast<std::size_t>(offset), bytes.size());
    const auto size = std::min(static_cast<std::size_t>(count), bytes.size() - from);
    std::memcpy(to, bytes.data() + from, size);
    if (size == static_cast<std::size_t>(count)) return SQLITE_OK;
    std::memset(static_cast<char*>(to) + size, 0, static_cast<std::size_t>(count) - size);
    return SQLITE_IOERR_SHORT_READ;
}

int file_write(sqlite3_file* file, const void* from, int count, sqlite3_int64 offset) {
    Bytes& bytes = bytes_of(file);
    const auto end = static_cast<std::size_t>(offset) + static_cast<std::size_t>(count);
    if (bytes.size() < end) bytes.resize(end);
    std::memcpy(bytes.data() + offset, from, static_cast<std::size_t>(count));
    return SQLITE_OK;
}

int file_truncate(sqlite3_file* file, sqlite3_int64 size) {
    bytes_of(file).resize(static_cast<std::size_t>(size));
    return SQLITE_OK;
}

int file_sync(sqlite3_file*, int) {
    ++syncs;
    return SQLITE_OK;
}

int file_size(sqlite3_file* file, sqlite3_int64* size) {
    *size = static_cast<sqlite3_int64>(bytes_of(file).size());
    return SQLITE_OK;
}

int file_lock(sqlite3_file*, int) { return SQLITE_OK; }

int file_is_reserved(sqlite3_file*, int* reserved) {
    *reserved = 0;
    return SQLITE_OK;
}

int file_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int file_sector(sqlite3_file*) { return 4096; }
int file_traits(sqlite3_file*) { return 0; }

// Version 1: no shared memory, so write-ahead logging needs exclusive locking, as our store has.
const sqlite3_io_methods kMethods = {
    1,         file_close, file_read,        file_write,   file_truncate, file_sync,   file_size,
    file_lock, file_lock,  file_is_reserved, file_control, file_sector,   file_traits, nullptr,
    nullptr,   nullptr,    nullptr,          nullptr,      nullptr};

int disk_open(sqlite3_vfs*, const char* name, sqlite3_file* file, int, int* flags) {
    auto* memory = reinterpret_cast<MemoryFile*>(file);
    memory->base.pMethods = &kMethods;
    memory->bytes = &(*disk)[name == nullptr ? "temporary" : name];
    if (flags != nullptr) *flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    return SQLITE_OK;
}

int disk_delete(sqlite3_vfs*, const char* name, int) {
    disk->erase(name);
    return SQLITE_OK;
}

int disk_access(sqlite3_vfs*, const char* name, int, int* there) {
    *there = disk->count(name) > 0 ? 1 : 0;
    return SQLITE_OK;
}

int disk_full_path(sqlite3_vfs*, const char* name, int size, char* to) {
    std::snprintf(to, static_cast<std::size_t>(size), "%s", name);
    return SQLITE_OK;
}

int disk_random(sqlite3_vfs*, int size, char* to) {
    std::memset(to, 7, static_cast<std::size_t>(size));
    return size;
}

int disk_sleep(sqlite3_vfs*, int microseconds) { return microseconds; }

int disk_time(sqlite3_vfs*, double* days) {
    *days = 2460000.5;
    return SQLITE_OK;
}

sqlite3_vfs memory_vfs() {
    sqlite3_vfs vfs{};
    vfs.iVersion = 1;
    vfs.szOsFile = sizeof(MemoryFile);
    vfs.mxPathname = 256;
    vfs.zName = "memory";
    vfs.xOpen = disk_open;
    vfs.xDelete = disk_delete;
    vfs.xAccess = disk_access;
    vfs.xFullPathname = disk_full_path;
    vfs.xRandomness = disk_random;
    vfs.xSleep = disk_sleep;
    vfs.xCurrentTime = disk_time;
    return vfs;
}

void run(sqlite3* store, const char* sql) {
    char* message = nullptr;
    if (sqlite3_exec(store, sql, nullptr, nullptr, &message) != SQLITE_OK) {
        std::fprintf(stderr, "%s: %s\n", sql, message);
        std::abort();
    }
}

// One statement, prepared once and bound by position.
class Statement {
public:
    Statement(sqlite3* store, const char* sql) {
        CHECK(sqlite3_prepare_v2(store, sql, -1, &statement_, nullptr) == SQLITE_OK);
    }
    Statement(const Statement&) = delete;
    ~Statement() { sqlite3_finalize(statement_); }
    Statement& set(int at, std::int64_t value) {
        sqlite3_bind_int64(statement_, at, value);
        return *this;
    }
    Statement& set(int at, const std::string& value) {
        sqlite3_bind_text(statement_, at, value.data(), static_cast<int>(value.size()),
                          SQLITE_TRANSIENT);
        return *this;
    }
    void run() {
        CHECK(sqlite3_step(statement_) == SQLITE_DONE);
        sqlite3_reset(statement_);
    }

private:
    sqlite3_stmt* statement_ = nullptr;
};

struct Event {
    std::int64_t time;
    std::int64_t sequence;
    std::int64_t slot;
    bool operator<(const Event& other) const {
        return time != other.time ? time > other.time : sequence > other.sequence;
    }
};

constexpr const char* kSchema =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
    "CREATE TABLE slots(slot INTEGER PRIMARY KEY, generation INTEGER, state TEXT, since INTEGER);"
    "CREATE TABLE intents(id INTEGER PRIMARY KEY, slot INTEGER, what TEXT);"
    "CREATE TABLE timeline(id INTEGER PRIMARY KEY, time INTEGER, service TEXT, said TEXT);"
    "CREATE INDEX timeline_by_service ON timeline(service, time);"
    "CREATE TABLE deploys(id INTEGER PRIMARY KEY, service TEXT, state TEXT);";

// Every turn takes one event from the queue, decides, and commits five rows as one transaction.
void run_loop(sqlite3* store, thole::Random& random) {
    Statement slot(store, "INSERT OR REPLACE INTO slots VALUES(?, ?, ?, ?)");
    Statement intent(store, "INSERT OR REPLACE INTO intents VALUES(?, ?, ?)");
    Statement said(store, "INSERT INTO timeline(time, service, said) VALUES(?, ?, ?)");
    Statement deploy(store, "INSERT OR REPLACE INTO deploys VALUES(?, ?, ?)");
    Statement done(store, "DELETE FROM intents WHERE id = ?");
    std::priority_queue<Event> queue;
    std::map<std::int64_t, std::int64_t> generations;
    std::int64_t sequence = 0;
    for (std::int64_t at = 0; at < kSlots; ++at) queue.push({at, sequence++, at});
    for (int turn = 0; turn < kTransactions; ++turn) {
        const Event event = queue.top();
        queue.pop();
        const std::int64_t generation = ++generations[event.slot];
        const std::string service = "service-" + std::to_string(event.slot % 4);
        const std::string state = "{\"stage\":\"starting\",\"pid\":" + std::to_string(turn) + "}";
        run(store, "BEGIN IMMEDIATE");
        slot.set(1, event.slot).set(2, generation).set(3, state).set(4, event.time).run();
        intent.set(1, turn).set(2, event.slot).set(3, "start").run();
        said.set(1, event.time).set(2, service).set(3, "instance started, " + state).run();
        deploy.set(1, event.slot % 4).set(2, service).set(3, state).run();
        done.set(1, turn - 3).run();
        run(store, "COMMIT");
        queue.push({event.time + 1 + static_cast<std::int64_t>(random.below(1000)), sequence++,
                    event.slot});
    }
}

double processor_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](timeval time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int count, char** arguments) {
    const int seeds = count > 1 ? std::atoi(arguments[1]) : 50;
    sqlite3_vfs vfs = memory_vfs();
    CHECK(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
    const double began = processor_seconds();
    std::size_t bytes = 0;
    for (int seed = 0; seed < seeds; ++seed) {
        std::map<std::string, Bytes> contents;
        disk = &contents;
        thole::Random random(static_cast<std::uint64_t>(seed));
        sqlite3* store = nullptr;
        CHECK(sqlite3_open_v2("state.db", &store, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                              "memory") == SQLITE_OK);
        run(store, kSchema);
        run_loop(store, random);
        for (const auto& [name, file] : contents) bytes += file.size();
        CHECK(sqlite3_close(store) == SQLITE_OK);
    }
    const double took = processor_seconds() - began;
    std::printf(
        "%d seeds of %d transactions: %.2f processor s, %.1f seeds/s; a seed: %.1f syncs, %zu "
        "KiB\n",
        seeds, kTransactions, took, seeds / took, static_cast<double>(syncs) / seeds,
        bytes / static_cast<std::size_t>(seeds) / 1024);
    return 0;
}
