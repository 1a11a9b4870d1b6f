// Files, as far as thole writes any. Paths are absolute. These calls block: on the loop only for
// small files on tmpfs and at start; all else goes through Background.
//
// Nothing is durable before sync() of the file, and no name before sync_folder() of its folder. A
// sync that failed is final: what was written before may be lost even if a later sync succeeds, so
// the caller gives the file up.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace thole::env {

// An open file. Closed when destroyed.
class File {
public:
    virtual ~File() = default;
    // Fewer bytes than asked for only at the end of the file.
    virtual Result<std::size_t> read_at(std::uint64_t offset, char* into, std::size_t size) = 0;
    // All or an error; an error may leave a part.
    virtual Status write_at(std::uint64_t offset, std::string_view bytes) = 0;
    virtual Status truncate(std::uint64_t size) = 0;
    virtual Status sync() = 0;
    virtual Result<std::uint64_t> size() = 0;
};

enum class OpenMode {
    Read,
    ReadWrite,
    Create
};  // Create: read and write, made where it is absent.
enum class Durability { None, Synced };

struct FileInfo {
    std::string name;
    bool is_folder = false;
    std::uint64_t size_bytes = 0;
    std::uint64_t allocated_bytes = 0;  // Less than its size where it has holes.
    WallTime modified{};
};

class Files {
public:
    virtual ~Files() = default;
    virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
    virtual Result<std::string> read(const std::string& path, std::size_t size_max) = 0;
    // A reader sees the old content or the new, whole. Synced: write aside, sync, rename, sync the
    // folder.
    virtual Status replace(const std::string& path, std::string_view bytes, Durability durability,
                           std::uint32_t mode) = 0;
    // With its parents, each of them durable; nothing where it is there.
    virtual Status make_folder(const std::string& path, std::uint32_t mode) = 0;
    virtual Status sync_folder(const std::string& path) = 0;
    // Success where it is not there.
    virtual Status remove(const std::string& path) = 0;
    virtual Result<std::vector<FileInfo>> list(const std::string& path) = 0;
    virtual bool exists(const std::string& path) = 0;
};

}  // namespace thole::env
