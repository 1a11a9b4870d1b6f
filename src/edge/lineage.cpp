#include "edge/lineage.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "edge/segment.h"
#include "os/fd.h"

namespace thole::edge {
namespace {

constexpr int kEndMs = 1000;
constexpr std::uint64_t kOneLine = std::uint64_t{1} << 32U;

constexpr bool is_offered(std::uint64_t now) { return (now & 1) != 0; }

std::string line_of(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

bool maps(const std::string& process, std::string_view inode) {
    // By its name first: most processes of a machine are none of ours, and maps are long.
    const std::string name = line_of(process + "/comm");
    if (name != "edge" && name != "holder") return false;
    std::ifstream file(process + "/maps");
    for (std::string line; std::getline(file, line);) {
        if (line.find(inode) != std::string::npos &&
            line.find("memfd:thole-edge") != std::string::npos)
            return true;
    }
    return false;
}

std::vector<int> others_on(std::string_view inode) {
    std::vector<int> found;
    DIR* const folder = ::opendir("/proc");
    if (folder == nullptr) return found;
    while (const dirent* entry = ::readdir(folder)) {
        int pid = 0;
        const char* const end = entry->d_name + std::strlen(entry->d_name);
        const auto [rest, error] = std::from_chars(entry->d_name, end, pid);
        const bool is_other = error == std::errc{} && rest == end && pid != ::getpid();
        if (is_other && maps(std::string("/proc/") + entry->d_name, inode)) found.push_back(pid);
    }
    ::closedir(folder);
    return found;
}

Segment* own_segment = nullptr;

}  // namespace

void begin_line(Lineage& lineage) { lineage.fetch_add(kOneLine); }

std::uint64_t open_offer(Lineage& lineage, std::uint32_t line) {
    std::uint64_t now = lineage.load();
    while (line_of(now) == line) {
        const std::uint64_t offer = (now | 1U) + 2;  // Another one than any before.
        if (lineage.compare_exchange_strong(now, offer)) return offer;
    }
    return 0;
}

bool close_offer(Lineage& lineage, std::uint32_t line) {
    std::uint64_t now = lineage.load();
    while (line_of(now) == line) {
        if (!is_offered(now) || lineage.compare_exchange_strong(now, now + 1)) return true;
    }
    return false;
}

bool take_offer(Lineage& lineage, std::uint64_t offer) {
    return lineage.compare_exchange_strong(offer, offer + kOneLine + 1);
}

void end_lineage(Segment& segment) {
    begin_line(segment.lineage);
    ::_exit(0);
}

void end_lineage_when_told(Segment& segment) {
    own_segment = &segment;
    ::signal(wire::kSignalEndOfLineage, [](int) { end_lineage(*own_segment); });
}

void end_others_on(int segment) {
    struct stat status {};
    if (::fstat(segment, &status) != 0) return;
    const std::string inode = " " + std::to_string(status.st_ino) + " ";
    for (const int pid : others_on(inode)) {
        const os::FileDescriptor process(
            static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0)));
        // Looked at once more: the number may be another's by now.
        if (!process.is_open() || !maps("/proc/" + std::to_string(pid), inode)) continue;
        ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
        pollfd death{process.get(), POLLIN, 0};
        ::poll(&death, 1, kEndMs);
    }
}

}  // namespace thole::edge
