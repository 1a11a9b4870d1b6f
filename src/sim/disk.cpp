#include "sim/disk.h"

#include <algorithm>

#include "base/bytes.h"

namespace thole::sim {
namespace {

constexpr std::size_t kSectorBytes = 512;
// More than this is written back even if nobody asks.
constexpr std::size_t kUnsyncedBytesMax = 4 * 1024 * 1024;

std::vector<std::string> parts_of(const std::string& path) {
    std::vector<std::string> parts;
    std::string part;
    for (const char c : path + "/") {
        if (c != '/') {
            part += c;
            continue;
        }
        if (!part.empty() && part != ".") parts.push_back(part);
        part.clear();
    }
    return parts;
}

void put(std::string& content, std::uint64_t offset, std::string_view bytes) {
    if (bytes.empty()) return;
    if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size(), '\0');
    content.replace(offset, bytes.size(), bytes);
}

void redo(std::string& content, const Node::Change& change) {
    if (change.is_truncation) {
        content.resize(change.offset, '\0');
    } else {
        put(content, change.offset, change.bytes);
    }
}

void redo(std::map<std::string, NodePointer>& names, const Node::Renaming& renaming) {
    for (const auto& [name, node] : renaming) {
        if (node == nullptr) {
            names.erase(name);
        } else {
            names[name] = node;
        }
    }
}

// What of an unsynced change is on the disk: nothing, all, or some of its sectors.
void apply_drawn(std::string& content, const Node::Change& change, Random& random) {
    const std::uint64_t drawn = random.below(3);
    if (drawn == 0) return;
    if (drawn == 1 || change.is_truncation) {
        redo(content, change);
        return;
    }
    std::size_t from = 0;
    while (from < change.bytes.size()) {
        const std::uint64_t at = change.offset + from;
        const std::size_t size =
            std::min(change.bytes.size() - from, kSectorBytes - at % kSectorBytes);
        if (random.chance(0.5)) put(content, at, std::string_view(change.bytes).substr(from, size));
        from += size;
    }
}

void forget_changes(Node& file) {
    file.unsynced.clear();
    file.unsynced_bytes = 0;
}

std::uint64_t bytes_below(const Node& node) {
    std::uint64_t bytes = node.is_on_tmpfs ? 0 : node.content.size();
    for (const auto& [name, child] : node.names) bytes += bytes_below(*child);
    return bytes;
}

bool concerns(FaultOn on, Act act) {
    switch (on) {
        case FaultOn::Any: return true;
        case FaultOn::Write: return act == Act::Write;
        case FaultOn::Sync: return act == Act::Sync;
    }
    return false;
}

}  // namespace

SimDisk::SimDisk(SimLoop& loop) : loop_(loop), root_(std::make_shared<Node>()) {
    root_->is_folder = true;
}

std::uint64_t SimDisk::used_bytes() const { return bytes_below(*root_); }

bool SimDisk::is_on_tmpfs(const std::string& path) const {
    return std::any_of(tmpfs_.begin(), tmpfs_.end(), [&](const std::string& folder) {
        return path == folder || path.starts_with(folder + "/");
    });
}

NodePointer SimDisk::make_node(const std::string& path) const {
    NodePointer node = std::make_shared<Node>();
    node->is_on_tmpfs = is_on_tmpfs(path);
    return node;
}

Status SimDisk::begin(Life& life, Act act, const std::string& verb, const std::string& path) {
    if (!life.is_alive || life.operations_left == 0U) return unavailable("the process has ended");
    if (life.operations_left) --*life.operations_left;
    const std::string what = verb + " " + path;
    loop_.note("file", life.name, fnv1a(what));
    if (is_on_tmpfs(path)) return success();
    ++operations_;
    for (DiskFault& fault : faults_) {
        if (fault.count == 0 || !concerns(fault.on, act)) continue;
        if (fault.after > 0) {
            --fault.after;
            continue;
        }
        --fault.count;
        return from_errno(fault.error, what);
    }
    return success();
}

Result<NodePointer> SimDisk::find(const std::string& path) const {
    NodePointer node = root_;
    for (const std::string& part : parts_of(path)) {
        if (!node->is_folder) return from_errno(ENOTDIR, "open " + path);
        const auto found = node->names.find(part);
        if (found == node->names.end()) return from_errno(ENOENT, "open " + path);
        node = found->second;
    }
    return node;
}

Result<std::pair<NodePointer, std::string>> SimDisk::find_parent(const std::string& path) const {
    std::vector<std::string> parts = parts_of(path);
    if (parts.empty()) return from_errno(EBUSY, "change " + path);
    const std::string name = parts.back();
    parts.pop_back();
    std::string folder;
    for (const std::string& part : parts) folder += "/" + part;
    NodePointer node = TRY(find(folder));
    if (!node->is_folder) return from_errno(ENOTDIR, "open " + path);
    return std::make_pair(std::move(node), name);
}

void SimDisk::rename(Node& folder, Node::Renaming renaming) {
    redo(folder.names, renaming);
    folder.unsynced_names.push_back(std::move(renaming));
}

void SimDisk::record(Node& file, Node::Change change) {
    redo(file.content, change);
    file.unsynced_bytes += change.bytes.size();
    file.unsynced.push_back(std::move(change));
    if (file.unsynced_bytes > kUnsyncedBytesMax) sync(file);
}

bool SimDisk::write(Node& file, std::uint64_t offset, std::string_view bytes) {
    const std::uint64_t end = offset + bytes.size();
    if (!file.is_on_tmpfs && capacity_ != ~std::uint64_t{0} && end > file.content.size()) {
        const std::uint64_t used = used_bytes();
        const std::uint64_t room = used < capacity_ ? capacity_ - used : 0;
        if (end - file.content.size() > room) {
            const std::uint64_t last = file.content.size() + room;
            if (last > offset) record(file, {offset, std::string(bytes.substr(0, last - offset))});
            return false;
        }
    }
    record(file, {offset, std::string(bytes)});
    return true;
}

void SimDisk::write_part(Node& file, std::uint64_t offset, std::string_view bytes) {
    const std::size_t part = loop_.random().below(bytes.size() + 1);
    write(file, offset, bytes.substr(0, part));
}

void SimDisk::truncate(Node& file, std::uint64_t size) { record(file, {size, "", true}); }

void SimDisk::sync(Node& node) {
    for (const Node::Change& change : node.unsynced) redo(node.durable, change);
    forget_changes(node);
    for (const Node::Renaming& renaming : node.unsynced_names) redo(node.durable_names, renaming);
    node.unsynced_names.clear();
}

void SimDisk::fail_sync(Node& node) {
    // The page cache takes the pages for clean, whether they were written or not.
    for (const Node::Change& change : node.unsynced)
        apply_drawn(node.durable, change, loop_.random());
    forget_changes(node);
}

namespace {

void sync_below(SimDisk& disk, Node& node) {
    disk.sync(node);
    for (const auto& [name, child] : node.names) sync_below(disk, *child);
}

}  // namespace

void SimDisk::sync_all() { sync_below(*this, *root_); }

void SimDisk::power_cut() {
    loop_.note("power cut", "", 0);
    recover(*root_);
}

void SimDisk::recover(Node& node) {
    Random& random = loop_.random();
    for (const Node::Change& change : node.unsynced) apply_drawn(node.durable, change, random);
    forget_changes(node);
    node.content = node.durable;
    const std::size_t kept = random.below(node.unsynced_names.size() + 1);
    for (std::size_t i = 0; i < kept; ++i) redo(node.durable_names, node.unsynced_names[i]);
    node.unsynced_names.clear();
    std::erase_if(node.durable_names, [](const auto& each) { return each.second->is_on_tmpfs; });
    node.names = node.durable_names;
    for (const auto& [name, child] : node.names) recover(*child);
}

}  // namespace thole::sim
