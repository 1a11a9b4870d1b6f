#include "os/linux_processes.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string_view>

namespace thole::os {
namespace {

// Of services, as the manifest's page promises it; not of ours.
constexpr std::string_view kProgramFolders[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                                "/usr/bin",        "/sbin",          "/bin"};
constexpr std::size_t kUserBytesMax = 1024 * 1024;
constexpr std::string_view kListening = "0A";  // TCP_LISTEN, as /proc/net/tcp writes it.

struct FileCloser {
    void operator()(FILE* file) const { static_cast<void>(::fclose(file)); }
};

// Calls `each(line)` for every line; false where the file cannot be read.
template <typename Each>
bool for_each_line(const std::string& path, Each each) {
    const std::unique_ptr<FILE, FileCloser> file(::fopen(path.c_str(), "re"));
    if (file == nullptr) return false;
    char* line = nullptr;
    std::size_t room = 0;
    ssize_t size = 0;
    while ((size = ::getline(&line, &room, file.get())) >= 0)
        each(std::string_view(line, static_cast<std::size_t>(size)));
    ::free(line);
    return true;
}

// Calls `each(name)` for what the folder holds.
template <typename Each>
void for_each_name(const std::string& path, Each each) {
    DIR* const folder = ::opendir(path.c_str());
    if (folder == nullptr) return;
    while (const dirent* entry = ::readdir(folder)) each(std::string_view(entry->d_name));
    ::closedir(folder);
}

std::string link_at(const std::string& path) {
    char target[256];
    const ssize_t size = ::readlink(path.c_str(), target, sizeof(target));
    return size < 0 ? std::string() : std::string(target, static_cast<std::size_t>(size));
}

// The whole text as a number, or 0, which is none of what is asked for here.
std::uint64_t number_of(std::string_view text, int base = 10) {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, failure] = std::from_chars(text.data(), end, number, base);
    return failure == std::errc{} && rest == end ? number : 0;
}

// Takes the next word off the front.
std::string_view take_word(std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));
    const std::string_view word = text.substr(0, text.find_first_of(" \n"));
    text.remove_prefix(word.size());
    return word;
}

// 0: no such process.
std::uint64_t session_of(std::string_view pid) {
    std::uint64_t session = 0;
    std::string text;
    for_each_line("/proc/" + std::string(pid) + "/stat", [&](std::string_view line) {
        text += line;  // A program's name may hold line ends,
    });
    const std::size_t end_of_name = text.rfind(')');  // and blanks and brackets.
    if (end_of_name == std::string::npos) return 0;
    std::string_view rest = std::string_view(text).substr(end_of_name + 1);
    for (int field = 3; field <= 6; ++field) session = number_of(take_word(rest));
    return session;
}

void add_sockets_of(const std::string& process, std::set<std::uint64_t>& inodes) {
    constexpr std::string_view kStart = "socket:[";
    for_each_name(process + "/fd", [&](std::string_view name) {
        const std::string target = link_at(process + "/fd/" + std::string(name));
        if (!target.starts_with(kStart) || !target.ends_with(']')) return;
        inodes.insert(number_of(
            std::string_view(target).substr(kStart.size(), target.size() - kStart.size() - 1)));
    });
}

// The kernel writes each 32 bits of an address as a number of this machine's byte order.
std::uint32_t ip_word(std::string_view hex) {
    return ntohl(static_cast<std::uint32_t>(number_of(hex, 16)));
}

std::uint32_t ip_of(std::string_view hex) {
    if (hex.size() == 8) return ip_word(hex);
    if (hex.size() != 32 || ip_word(hex.substr(0, 8)) != 0 || ip_word(hex.substr(8, 8)) != 0)
        return 0xffffffff;
    const std::uint32_t third = ip_word(hex.substr(16, 8));
    const std::uint32_t fourth = ip_word(hex.substr(24, 8));
    if (third == 0xffff) return fourth;  // IPv4 written as IPv6: Java listens so.
    if (third == 0 && fourth <= 1) return fourth == 0 ? 0 : 0x7f000001;
    return 0xffffffff;
}

// "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 4711 …"
void add_listening(const std::string& table, const std::set<std::uint64_t>& inodes,
                   std::vector<env::Address>& found) {
    for_each_line(table, [&](std::string_view line) {
        take_word(line);
        const std::string_view local = take_word(line);
        take_word(line);
        if (take_word(line) != kListening) return;
        for (int skipped = 0; skipped < 5; ++skipped) take_word(line);
        const std::size_t colon = local.find(':');
        if (colon == std::string_view::npos || !inodes.contains(number_of(take_word(line)))) return;
        found.push_back({ip_of(local.substr(0, colon)),
                         static_cast<std::uint16_t>(number_of(local.substr(colon + 1), 16))});
    });
}

bool is_plain(const std::string& name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
}

}  // namespace

env::Owner LinuxProcesses::self() { return {::geteuid(), ::getegid()}; }

Result<env::Owner> LinuxProcesses::user(const std::string& name) {
    const std::string what = "user '" + name.substr(0, name.find('\0')) + "'";
    std::vector<char> room(4096);
    while (name.find('\0') == std::string::npos) {
        passwd entry{};
        passwd* found = nullptr;
        const int failure = ::getpwnam_r(name.c_str(), &entry, room.data(), room.size(), &found);
        if (failure == EINTR) continue;
        if (failure == ERANGE && room.size() < kUserBytesMax) {
            room.resize(room.size() * 2);
            continue;
        }
        if (found != nullptr) return env::Owner{entry.pw_uid, entry.pw_gid};
        // Some name services say "no such file" for "no such user".
        if (failure != 0 && failure != ENOENT && failure != ESRCH)
            return from_errno(failure, "look up " + what);
        break;
    }
    Error error = not_found(what + ": this machine has none of that name");
    if (is_plain(name)) return std::move(error).with_hint("useradd --system " + name);
    return error;
}

std::vector<env::Address> LinuxProcesses::listening(std::uint32_t pid) {
    // A session outlives its first process, whose number is its own.
    std::uint64_t session = session_of(std::to_string(pid));
    if (session == 0) session = pid;
    if (session == 0) return {};
    std::set<std::uint64_t> inodes;
    std::set<std::string> networks_seen;
    std::vector<std::string> networks;
    for_each_name("/proc", [&](std::string_view name) {
        if (number_of(name) == 0 || session_of(name) != session) return;
        const std::string process = "/proc/" + std::string(name);
        add_sockets_of(process, inodes);
        if (networks_seen.insert(link_at(process + "/ns/net")).second)
            networks.push_back(process + "/net/");
    });
    inodes.erase(0);
    std::vector<env::Address> found;
    for (const std::string& network : networks) {
        add_listening(network + "tcp", inodes, found);
        add_listening(network + "tcp6", inodes, found);
    }
    std::sort(found.begin(), found.end(), [](env::Address left, env::Address right) {
        return std::pair(left.port, left.ip) < std::pair(right.port, right.ip);
    });
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
}

std::string LinuxProcesses::find_program(const std::string& name) {
    if (name.empty() || name.find('/') != std::string::npos || name.find('\0') != std::string::npos)
        return {};
    for (const std::string_view folder : kProgramFolders) {
        const std::string path = std::string(folder) + "/" + name;
        struct stat info {};
        if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
            ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0)
            return path;
    }
    return {};
}

std::string LinuxProcesses::cgroup_of(std::uint32_t pid) {
    std::string text;
    for_each_line("/proc/" + (pid == 0 ? "self" : std::to_string(pid)) + "/cgroup",
                  [&](std::string_view line) { text.append(line).append("\n"); });
    return text;
}

std::string LinuxProcesses::boot_id() {
    std::string id;
    for_each_line("/proc/sys/kernel/random/boot_id",
                  [&](std::string_view line) { id = line.substr(0, line.find('\n')); });
    return id;
}

}  // namespace thole::os
