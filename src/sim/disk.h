// A disk and its page cache: one tree of files that all simulated processes share. What was written
// is seen at once and is durable only after a sync; power_cut() draws what is left of the rest.
//
//   - Of unsynced content each 512-byte sector may be there or not; a sync that failed has kept
//     some of it and never keeps the rest.
//   - Of unsynced names of a folder a drawn part is there, the older before the newer, as a journal
//     keeps them.
//   - What lies on a tmpfs never fails and is never full; a power cut leaves nothing of it.
//
// Modes, owners and links are not modelled.
#pragma once

#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "env/files.h"
#include "sim/loop.h"

namespace thole::sim {

enum class Act { Read, Write, Sync };  // Write: whatever changes content or names.
enum class FaultOn { Any, Write, Sync };

// The operations that are lost after `after` more of the kind have succeeded.
struct DiskFault {
    FaultOn on = FaultOn::Any;
    std::uint64_t after = 0;
    std::uint64_t count = 1;
    int error = EIO;
};

struct Node;
using NodePointer = std::shared_ptr<Node>;

// A file or folder. `content` and `names` are what everybody sees, `durable…` what was synced.
struct Node {
    struct Change {
        std::uint64_t offset = 0;
        std::string bytes;
        bool is_truncation = false;  // To `offset`.
    };
    // Set together or not at all; null removes.
    using Renaming = std::vector<std::pair<std::string, NodePointer>>;

    bool is_folder = false;
    bool is_on_tmpfs = false;
    std::string content;
    std::string durable;
    std::vector<Change> unsynced;
    std::size_t unsynced_bytes = 0;
    std::map<std::string, NodePointer> names;
    std::map<std::string, NodePointer> durable_names;
    std::vector<Renaming> unsynced_names;
};

class SimDisk {
public:
    explicit SimDisk(SimLoop& loop);

    void inject(DiskFault fault) { faults_.push_back(fault); }
    void heal() { faults_.clear(); }
    // More than so many bytes of content do not fit.
    void set_capacity(std::uint64_t bytes) { capacity_ = bytes; }
    // Whatever is made below this folder lies in memory.
    void mount_tmpfs(const std::string& folder) { tmpfs_.push_back(folder); }
    std::uint64_t used_bytes() const;
    // Counts each one that could have been lost.
    std::uint64_t operations() const { return operations_; }

    // As the kernel does in time.
    void sync_all();
    // What a machine finds that lost its power now. SimHost::power_cut() kills the processes, too.
    void power_cut();

    // For SimFiles. Paths are absolute.
    // Whether this operation of this process is lost.
    Status begin(Life& life, Act act, const std::string& verb, const std::string& path);
    // Of this path, without a name yet.
    NodePointer make_node(const std::string& path) const;
    Result<NodePointer> find(const std::string& path) const;
    // The folder that holds this path, and the name in it.
    Result<std::pair<NodePointer, std::string>> find_parent(const std::string& path) const;
    void rename(Node& folder, Node::Renaming renaming);
    // False where the disk is full; it then holds as much as fits.
    bool write(Node& file, std::uint64_t offset, std::string_view bytes);
    // Writes a part of it and fails: what a fault leaves.
    void write_part(Node& file, std::uint64_t offset, std::string_view bytes);
    void truncate(Node& file, std::uint64_t size);
    void sync(Node& node);
    void fail_sync(Node& node);

private:
    void record(Node& file, Node::Change change);
    void recover(Node& node);
    bool is_on_tmpfs(const std::string& path) const;

    SimLoop& loop_;
    NodePointer root_;
    std::vector<DiskFault> faults_;
    std::vector<std::string> tmpfs_;
    std::uint64_t capacity_ = ~std::uint64_t{0};
    std::uint64_t operations_ = 0;
};

}  // namespace thole::sim
