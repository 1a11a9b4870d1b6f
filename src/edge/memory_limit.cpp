#include "edge/memory_limit.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

namespace thole::edge {
namespace {

// cgroup v1 says this, rounded to pages, where there is no limit.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 62;

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(at), text.size());
        parts.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

bool names(std::string_view list, std::string_view name) {
    const std::vector<std::string_view> parts = split(list, ',');
    return std::find(parts.begin(), parts.end(), name) != parts.end();
}

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || rest == text.data() || value >= kNoLimit) return {};
    return value;
}

struct Hierarchy {
    std::string_view type;        // Of its mount.
    std::string_view controller;  // v1: in the mount's options, and in /proc/self/cgroup.
    std::string_view file;
};
constexpr Hierarchy kHierarchies[] = {{"cgroup2", "", "memory.max"},
                                      {"cgroup", "memory", "memory.limit_in_bytes"}};

// The process's cgroup in it: a line "number:controllers:/path".
std::string_view path_in(const Hierarchy& in, std::string_view cgroups) {
    for (const std::string_view line : split(cgroups, '\n')) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (first == line.npos || second == line.npos) continue;
        const std::string_view controllers = line.substr(first + 1, second - first - 1);
        const bool is_it =
            in.controller.empty() ? controllers.empty() : names(controllers, in.controller);
        if (is_it) return line.substr(second + 1);
    }
    return {};
}

struct Mount {
    std::string_view root, at;
};

// proc(5), mountinfo: id parent device root mount-point options ... - type source super-options.
std::optional<Mount> mount_of(const Hierarchy& of, std::string_view mounts) {
    for (const std::string_view line : split(mounts, '\n')) {
        const std::size_t dash = line.find(" - ");
        if (dash == line.npos) continue;
        const std::vector<std::string_view> left = split(line.substr(0, dash), ' ');
        const std::vector<std::string_view> right = split(line.substr(dash + 3), ' ');
        if (left.size() < 5 || right.size() < 3 || right[0] != of.type) continue;
        if (!of.controller.empty() && !names(right[2], of.controller)) continue;
        return Mount{left[3], left[4]};
    }
    return {};
}

}  // namespace

std::optional<std::uint64_t> memory_limit(const ReadText& read) {
    const std::string cgroups = read("/proc/self/cgroup");
    const std::string mounts = read("/proc/self/mountinfo");
    std::optional<std::uint64_t> least;
    for (const Hierarchy& hierarchy : kHierarchies) {
        const std::optional<Mount> mount = mount_of(hierarchy, mounts);
        std::string_view path = path_in(hierarchy, cgroups);
        if (!mount || path.empty()) continue;
        // In a container the mount shows the tree from its root on.
        if (mount->root != "/" && path.substr(0, mount->root.size()) == mount->root)
            path.remove_prefix(mount->root.size());
        while (true) {
            while (!path.empty() && path.back() == '/') path.remove_suffix(1);
            const std::string file =
                std::string(mount->at) + std::string(path) + "/" + std::string(hierarchy.file);
            if (const auto limit = number(read(file)); limit && (!least || *limit < *least))
                least = limit;
            if (path.empty()) break;
            path = path.substr(0, path.rfind('/'));
        }
    }
    return least;
}

}  // namespace thole::edge
