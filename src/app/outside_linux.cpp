#include "app/outside_linux.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>

#include "app/program.h"
#include "base/parse.h"
#include "cli/printable.h"

namespace thole::app {
namespace {

using namespace std::chrono_literals;

constexpr Duration kTurnMax = 100ms;  // So late Ctrl-C may be where another thread caught it.
// A home or a disk was meant by mistake; a project that has so many files has git.
constexpr std::size_t kFilesMax = 100'000;

volatile sig_atomic_t interrupted = 0;

int number_of(cli::Channel channel) { return channel == cli::Channel::Data ? 1 : 2; }

struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

bool is_folder_at(const std::string& path) {
    struct stat found {};
    return ::lstat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

bool lies_in_repository(std::string folder) {
    while (true) {
        struct stat found {};
        if (::lstat((folder + "/.git").c_str(), &found) == 0) return true;
        if (folder.empty()) return false;
        folder.erase(folder.rfind('/'));
    }
}

Status collect(const std::string& root, const std::string& inside, std::vector<std::string>& out) {
    const std::string path = inside.empty() ? root : root + "/" + inside;
    const std::unique_ptr<DIR, CloseFolder> folder(::opendir(path.c_str()));
    if (folder == nullptr) return from_errno(errno, "list " + path);
    while (const dirent* const entry = ::readdir(folder.get())) {
        const std::string name = entry->d_name;
        if (name == "." || name == "..") continue;
        const std::string whole = inside.empty() ? name : inside + "/" + name;
        const bool is_folder = entry->d_type == DT_DIR ||
                               (entry->d_type == DT_UNKNOWN && is_folder_at(root + "/" + whole));
        if (is_folder && name[0] == '.') continue;
        if (is_folder) {
            TRY(collect(root, whole, out));
        } else if (entry->d_type == DT_REG || entry->d_type == DT_LNK ||
                   entry->d_type == DT_UNKNOWN) {
            out.push_back(whole);
        }
        if (out.size() > kFilesMax) {
            return overload("more than 100000 files below " + root + ", and no git to tell which")
                .with_hint("git init " + root);
        }
    }
    return success();
}

}  // namespace

OutsideLinux::OutsideLinux() : linux_(loop_) {
    struct sigaction former {};
    ::sigaction(SIGINT, nullptr, &former);
    // Somebody wants us to go on (nohup, a job in the background).
    if (former.sa_handler == SIG_IGN) return;
    struct sigaction ours {};
    ours.sa_handler = [](int) { interrupted = 1; };
    ours.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(SIGINT, &ours, nullptr);
}

void OutsideLinux::turn(Duration wait_max) { loop_.turn(std::min(wait_max, kTurnMax)); }

bool OutsideLinux::is_interrupted() { return interrupted != 0; }

bool OutsideLinux::write(cli::Channel channel, std::string_view bytes) {
    const int number = number_of(channel);
    while (!bytes.empty()) {
        const ssize_t wrote = ::write(number, bytes.data(), bytes.size());
        if (wrote >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(wrote));
        } else if (errno == EAGAIN) {
            // Somebody who shares the terminal made it so.
            pollfd ready{number, POLLOUT, 0};
            ::poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

bool OutsideLinux::is_terminal(cli::Channel channel) { return ::isatty(number_of(channel)) == 1; }

std::size_t OutsideLinux::width() {
    winsize size{};
    if (::ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return static_cast<std::size_t>(parse_integer(variable("COLUMNS"), 20, 10'000).value_or(80));
}

std::string OutsideLinux::variable(const std::string& name) {
    const char* const value = ::getenv(name.c_str());
    return value == nullptr ? std::string() : value;
}

int OutsideLinux::utc_offset_seconds(WallTime at) {
    const std::time_t seconds = nanoseconds_of(at) / 1'000'000'000;
    std::tm local{};
    return ::localtime_r(&seconds, &local) == nullptr ? 0 : static_cast<int>(local.tm_gmtoff);
}

Result<std::string> OutsideLinux::real_folder(const std::string& path) {
    char real[PATH_MAX];
    if (::realpath(path.c_str(), real) == nullptr) return from_errno(errno, "folder " + path);
    if (!is_folder_at(real)) return invalid(path + " is no folder");
    return std::string(real);
}

bool OutsideLinux::is_folder(const std::string& path) { return is_folder_at(path); }

std::optional<std::uint32_t> OutsideLinux::owner(const std::string& path) {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) return std::nullopt;
    return found.st_uid;
}

bool OutsideLinux::is_same(const std::string& one, const std::string& other) {
    struct stat first {
    }, second{};
    return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

bool OutsideLinux::is_heard(const std::string& socket) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (socket.size() >= sizeof(to.sun_path)) return false;
    std::memcpy(to.sun_path, socket.data(), socket.size());
    const os::FileDescriptor link(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return ::connect(link.get(), reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0 ||
           (errno != ECONNREFUSED && errno != ENOENT);
}

Status OutsideLinux::make_once(const std::string& path, std::string_view text) {
    env::Files& files = env().files;
    const std::string own = path + "." + std::to_string(::getpid());
    TRY(files.replace(own, text, env::Durability::Synced, 0644));
    const int error = ::link(own.c_str(), path.c_str()) == 0 ? 0 : errno;
    TRY(files.remove(own));
    // A shared folder of a virtual machine may know no links.
    if (error == EPERM || error == EOPNOTSUPP || error == ENOSYS)
        return files.replace(path, text, env::Durability::Synced, 0644);
    if (error != 0 && error != EEXIST) return from_errno(error, "link " + path);
    return files.sync_folder(path.substr(0, path.rfind('/')));
}

Result<std::optional<std::vector<std::string>>> OutsideLinux::git_files(const std::string& folder) {
    // Another user's repository is read, too (root runs theirs); its file system monitor is not
    // run.
    const Result<Ended> git =
        run_program({"git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", folder,
                     "ls-files", "-z", "-co", "--exclude-standard"},
                    Kept::Output);
    std::optional<std::vector<std::string>> listed;
    if (!git.ok()) return listed;
    if (git->status != 0) {
        if (!lies_in_repository(folder)) return listed;
        return unavailable("git could not list the files of " + folder)
            .with_hint("git -C " + cli::for_shell(folder) + " status");
    }
    std::vector<std::string>& files = listed.emplace();
    std::string_view rest = git->said;
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find('\0'), rest.size());
        if (end > 0) files.emplace_back(rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return listed;
}

Result<std::vector<std::string>> OutsideLinux::all_files(const std::string& folder) {
    std::vector<std::string> files;
    TRY(collect(folder, {}, files));
    return files;
}

std::string OutsideLinux::binaries() {
    char path[PATH_MAX];
    const ssize_t size = ::readlink("/proc/self/exe", path, sizeof(path));
    const std::string own(path, size > 0 ? static_cast<std::size_t>(size) : 0);
    const std::size_t slash = own.rfind('/');
    return slash == std::string::npos || slash == 0 ? "/" : own.substr(0, slash);
}

Status OutsideLinux::start_keeper(const cli::KeeperStart& start) {
    const std::string keeper = start.binaries + "/lib/thole/keeper";
    Result<Ended> ended = run_program(
        {keeper, "start", "--run", start.run, "--data", start.data, "--binaries", start.binaries},
        Kept::Problems);
    if (!ended.ok()) {
        return unavailable(ended.error().message)
            .with_hint("ls -l " + cli::for_shell(start.binaries + "/lib/thole"));
    }
    if (WIFEXITED(ended->status) && WEXITSTATUS(ended->status) == 0) return success();
    // It says what, why and what to try itself, in our form.
    std::string said = ended->said;
    while (!said.empty() && said.back() == '\n') said.pop_back();
    const std::size_t hint = said.find("\n  try: ");
    if (hint != std::string::npos) {
        return unavailable(said.substr(0, hint)).with_hint(said.substr(hint + 8));
    }
    return unavailable("keeper did not start" + (said.empty() ? "" : ": " + said))
        .with_hint("cat " + cli::for_shell(start.data + "/keeper.log"));
}

}  // namespace thole::app
