#include "keeper/start.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "keeper/keeper.h"
#include "keeper/remains.h"
#include "keeper/table.h"
#include "os/sync.h"
#include "wire/frame.h"
#include "wire/keeper.h"

namespace thole::keeper {
namespace {

// Until a keeper that was started answers: it does in milliseconds, but one may just be leaving.
constexpr std::int64_t kStartNs = 10'000'000'000;

// What lies in a folder goes with it where its name is lost with the power.
bool sync_parent_of(const char* path) {
    Path parent;
    parent.set("%s", path);
    char* const slash = std::strrchr(parent.text, '/');
    if (slash == nullptr) return false;
    slash[slash == parent.text ? 1 : 0] = '\0';
    const int fd = ::open(parent.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno == EACCES;  // Where we may write and not read, nobody lets us sync.
    const bool is_synced = os::sync_to_disk(fd);
    ::close(fd);
    return is_synced;
}

// Its parents can be walked through, whoever one is.
bool make_folder(const char* path, mode_t mode) {
    Path part;
    part.set("%s", path);
    for (char* at = part.text + 1;; ++at) {
        if (*at != '/' && *at != '\0') continue;
        const char before = *at;
        *at = '\0';
        const bool is_new = ::mkdir(part.text, before == '\0' ? mode : 0711) == 0;
        if (!is_new && errno != EEXIST) return false;
        if (is_new && !sync_parent_of(part.text)) return false;
        *at = before;
        if (before == '\0') return true;
    }
}

// Nobody else may put files into the run folder, or another folder in its place: what is started
// is read there. `/dev/shm` is everybody's, and a name in it may be taken before we come.
bool is_own_folder(const char* path) {
    struct stat folder {
    }, parent{};
    Path above;
    above.set("%s/..", path);
    if (::lstat(path, &folder) != 0 || ::stat(above.text, &parent) != 0) return false;
    const bool keeps_names = (parent.st_mode & S_ISVTX) != 0 || (parent.st_mode & S_IWOTH) == 0;
    const bool is_ours_above = parent.st_uid == ::geteuid() || parent.st_uid == 0;
    return S_ISDIR(folder.st_mode) && folder.st_uid == ::geteuid() &&
           (folder.st_mode & (S_IWGRP | S_IWOTH)) == 0 && keeps_names && is_ours_above;
}

// Says Hello and waits for Synced.
bool keeper_answers(const Options& options) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    const int length =
        std::snprintf(to.sun_path, sizeof(to.sun_path), "%s/keeper.sock", options.run.text);
    if (length >= static_cast<int>(sizeof(to.sun_path))) return false;
    const int link = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (link < 0) return false;
    bool answers = false;
    if (::connect(link, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) {
        const wire::HelloToKeeper hello{
            wire::ClientKind::Cli, static_cast<std::uint32_t>(::getpid()), {}};
        const std::string_view body(reinterpret_cast<const char*>(&hello), sizeof(hello));
        const wire::FrameHeader header =
            wire::frame_header(static_cast<std::uint16_t>(wire::KeeperMessage::Hello), body);
        char frame[sizeof(header) + sizeof(hello)];
        std::memcpy(frame, &header, sizeof(header));
        std::memcpy(frame + sizeof(header), &hello, sizeof(hello));
        ::send(link, frame, sizeof(frame), MSG_NOSIGNAL);
        static char answer[wire::kFrameBytesMax];
        pollfd ready{link, POLLIN, 0};
        while (!answers && ::poll(&ready, 1, 500) > 0) {
            const ssize_t got = ::recv(link, answer, sizeof(answer), 0);
            if (got <= 0) break;
            const auto opened = wire::open_frame({answer, static_cast<std::size_t>(got)});
            answers =
                opened && opened->type == static_cast<std::uint16_t>(wire::KeeperMessage::Synced);
        }
    }
    ::close(link);
    return answers;
}

// A watch that lives starts the next keeper itself, and has what the last one parked; a second one
// would not.
bool watch_lives(const Options& options) {
    const wire::SlotTable* const table = map_table(options.run.text, MakeTable::No);
    return table != nullptr &&
           is_alive(table->slots[static_cast<std::uint32_t>(wire::Role::Watch)].claim);
}

// Somebody's keeper works on this data folder. Closing gives back no lock: these are of the open
// file, not of the process (OFD).
bool is_locked(const Options& options) {
    Path path;
    path.set("%s/lock", options.data.text);
    const int fd = ::open(path.text, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    struct flock wanted {};
    wanted.l_type = F_WRLCK;
    const bool is_locked = ::fcntl(fd, F_OFD_GETLK, &wanted) == 0 && wanted.l_type != F_UNLCK;
    ::close(fd);
    return is_locked;
}

bool has_socket(const Options& options) {
    Path path;
    path.set("%s/keeper.sock", options.run.text);
    return ::access(path.text, F_OK) == 0;
}

// A keeper whose run folder was deleted (by hand, or with the session of its user) cannot be
// reached any more, and no other may start. Whoever watches for ours would try for ever.
int explain_silence(const Options& options, pid_t watch) {
    if (!is_locked(options) || has_socket(options)) {
        std::fprintf(stderr, "keeper: does not answer after 10 s\n  try: cat %s/keeper.log\n",
                     options.data.text);
        return 1;
    }
    if (watch > 0) ::kill(watch, SIGKILL);
    tell_of_deleted_folder(options);
    return 1;
}

int explain_folder(const char* folder) {
    std::fprintf(stderr, "keeper: cannot make the folder %s: %s\n  try: mkdir -p %s\n", folder,
                 std::strerror(errno), folder);
    return 1;
}

int explain(const char* what, const Options& options) {
    std::fprintf(stderr, "keeper: %s: %s\n  try: cat %s/keeper.log\n", what, std::strerror(errno),
                 options.data.text);
    return 1;
}

[[noreturn]] void become_watch(const Options& options) {
    ::setsid();
    Path log;
    log.set("%s/keeper.log", options.data.text);
    const int nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const int out = ::open(log.text, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    ::dup2(nothing, 0);
    ::dup2(out >= 0 ? out : nothing, 1);
    ::dup2(out >= 0 ? out : nothing, 2);
    // Not the folder of whoever started us: it may be removed or unmounted.
    if (::chdir("/") != 0) ::_exit(126);
    const char* arguments[14];
    write_arguments(options, "watch", arguments);
    ::execv("/proc/self/exe", const_cast<char* const*>(arguments));
    ::_exit(126);
}

}  // namespace

int run_start(const Options& options) {
    if (!make_folder(options.run.text, 0700)) return explain_folder(options.run.text);
    if (!is_own_folder(options.run.text)) {
        std::fprintf(stderr,
                     "keeper: others may write to the run folder %s\n  try: ls -ld %s %s/..\n",
                     options.run.text, options.run.text, options.run.text);
        return 1;
    }
    if (keeper_answers(options)) return 0;
    if (!make_folder(options.data.text, 0711)) return explain_folder(options.data.text);
    pid_t child = -1;
    const std::int64_t deadline = now_nanoseconds() + kStartNs;
    while (now_nanoseconds() < deadline) {
        if (keeper_answers(options)) return 0;
        // None, or one that was leaving when we came: an earlier system is just shutting down.
        if (child < 0 && !watch_lives(options)) {
            child = ::fork();
            if (child < 0) return explain("cannot fork", options);
            if (child == 0) become_watch(options);
        }
        int status = 0;
        if (child > 0 && ::waitpid(child, &status, WNOHANG) == child) {
            // Another keeper may be starting at this very moment; then that one answers soon.
            const bool rival = WIFEXITED(status) && WEXITSTATUS(status) == kKeeperIsNotNeeded;
            if (!rival && WIFEXITED(status) && WEXITSTATUS(status) == kKeeperCannotStart &&
                !watch_lives(options) && control_lives(options.run.text)) {
                tell_of_deleted_folder(options);
                return 1;
            }
            if (!rival) {
                std::fprintf(stderr,
                             "keeper: it ended at once (status %d)\n  try: cat %s/keeper.log\n",
                             status, options.data.text);
                return 1;
            }
            child = -1;
        }
        ::poll(nullptr, 0, 5);
    }
    return explain_silence(options, child);
}

}  // namespace thole::keeper
