#include "sim/files.h"

#include <algorithm>

namespace thole::sim {
namespace {

class SimFile final : public env::File {
public:
    SimFile(SimDisk& disk, LifePointer life, NodePointer node, std::string path)
        : disk_(disk), life_(std::move(life)), node_(std::move(node)), path_(std::move(path)) {}

    Result<std::size_t> read_at(std::uint64_t offset, char* into, std::size_t size) override {
        TRY(disk_.begin(*life_, Act::Read, "read", path_));
        if (offset >= node_->content.size()) return std::size_t{0};
        return node_->content.copy(into, size, offset);
    }

    Status write_at(std::uint64_t offset, std::string_view bytes) override {
        if (is_read_only_) return from_errno(EBADF, "write " + path_);
        Status begun = disk_.begin(*life_, Act::Write, "write", path_);
        if (!begun.ok()) {
            if (life_->is_alive && life_->operations_left != 0U)
                disk_.write_part(*node_, offset, bytes);
            return begun;
        }
        if (!disk_.write(*node_, offset, bytes)) return from_errno(ENOSPC, "write " + path_);
        return success();
    }

    Status truncate(std::uint64_t size) override {
        if (is_read_only_) return from_errno(EINVAL, "truncate " + path_);
        TRY(disk_.begin(*life_, Act::Write, "truncate", path_));
        disk_.truncate(*node_, size);
        return success();
    }

    Status sync() override {
        Status begun = disk_.begin(*life_, Act::Sync, "sync", path_);
        if (begun.ok()) {
            disk_.sync(*node_);
        } else if (life_->is_alive && life_->operations_left != 0U) {
            disk_.fail_sync(*node_);
        }
        return begun;
    }

    Result<std::uint64_t> size() override {
        TRY(disk_.begin(*life_, Act::Read, "stat", path_));
        return std::uint64_t{node_->content.size()};
    }

    void set_read_only() { is_read_only_ = true; }

private:
    SimDisk& disk_;
    LifePointer life_;
    NodePointer node_;
    std::string path_;
    bool is_read_only_ = false;
};

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

}  // namespace

Result<NodePointer> SimFiles::create(const std::string& path) {
    const std::pair<NodePointer, std::string> place = TRY(disk_.find_parent(path));
    const auto found = place.first->names.find(place.second);
    if (found != place.first->names.end()) return found->second;
    NodePointer node = disk_.make_node(path);
    disk_.rename(*place.first, {{place.second, node}});
    return node;
}

Result<std::unique_ptr<env::File>> SimFiles::open(const std::string& path, env::OpenMode mode) {
    const Act act = mode == env::OpenMode::Create ? Act::Write : Act::Read;
    TRY(disk_.begin(*life_, act, "open", path));
    const NodePointer node = TRY(mode == env::OpenMode::Create ? create(path) : disk_.find(path));
    if (node->is_folder) return from_errno(EISDIR, "open " + path);
    std::unique_ptr<SimFile> file = std::make_unique<SimFile>(disk_, life_, node, path);
    if (mode == env::OpenMode::Read) file->set_read_only();
    return std::unique_ptr<env::File>(std::move(file));
}

Result<std::string> SimFiles::read(const std::string& path, std::size_t size_max) {
    TRY(disk_.begin(*life_, Act::Read, "read", path));
    const NodePointer node = TRY(disk_.find(path));
    if (node->is_folder) return from_errno(EISDIR, "read " + path);
    if (node->content.size() > size_max) return overload("read " + path + ": larger than expected");
    return node->content;
}

Status SimFiles::replace(const std::string& path, std::string_view bytes,
                         env::Durability durability, std::uint32_t) {
    const std::string aside = path + ".new";
    {
        const std::unique_ptr<env::File> file = TRY(open(aside, env::OpenMode::Create));
        TRY(file->truncate(0));
        TRY(file->write_at(0, bytes));
        if (durability == env::Durability::Synced) TRY(file->sync());
    }
    TRY(disk_.begin(*life_, Act::Write, "rename to", path));
    const std::pair<NodePointer, std::string> from = TRY(disk_.find_parent(aside));
    const std::pair<NodePointer, std::string> to = TRY(disk_.find_parent(path));
    const auto old = to.first->names.find(to.second);
    if (old != to.first->names.end() && old->second->is_folder)
        return from_errno(EISDIR, "rename to " + path);
    const NodePointer node = from.first->names.at(from.second);
    disk_.rename(*to.first, {{from.second, nullptr}, {to.second, node}});
    if (durability == env::Durability::Synced) return sync_folder(parent_of(path));
    return success();
}

Status SimFiles::make_folder(const std::string& path, std::uint32_t mode) {
    if (exists(path)) return success();
    if (const std::string parent = parent_of(path); parent != "/") TRY(make_folder(parent, mode));
    TRY(disk_.begin(*life_, Act::Write, "create folder", path));
    const std::pair<NodePointer, std::string> place = TRY(disk_.find_parent(path));
    NodePointer made = disk_.make_node(path);
    made->is_folder = true;
    disk_.rename(*place.first, {{place.second, std::move(made)}});
    return sync_folder(parent_of(path));
}

Status SimFiles::sync_folder(const std::string& path) {
    TRY(disk_.begin(*life_, Act::Sync, "sync folder", path));
    const NodePointer node = TRY(disk_.find(path));
    if (!node->is_folder) return from_errno(ENOTDIR, "sync folder " + path);
    disk_.sync(*node);
    return success();
}

Status SimFiles::remove(const std::string& path) {
    TRY(disk_.begin(*life_, Act::Write, "remove", path));
    const Result<NodePointer> node = disk_.find(path);
    if (!node.ok()) {
        if (node.error().code == Code::NotFound) return success();
        return node.error();
    }
    if ((*node)->is_folder && !(*node)->names.empty())
        return from_errno(ENOTEMPTY, "remove " + path);
    const std::pair<NodePointer, std::string> place = TRY(disk_.find_parent(path));
    disk_.rename(*place.first, {{place.second, nullptr}});
    return success();
}

Result<std::vector<env::FileInfo>> SimFiles::list(const std::string& path) {
    TRY(disk_.begin(*life_, Act::Read, "list", path));
    const NodePointer node = TRY(disk_.find(path));
    if (!node->is_folder) return from_errno(ENOTDIR, "list " + path);
    std::vector<env::FileInfo> found;
    for (const auto& [name, child] : node->names)
        found.push_back(
            {name, child->is_folder, child->content.size(), child->content.size(), WallTime{}});
    return found;
}

bool SimFiles::exists(const std::string& path) {
    return life_->is_alive && life_->operations_left != 0U && disk_.find(path).ok();
}

}  // namespace thole::sim
