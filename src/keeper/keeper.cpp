#include "keeper/keeper.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "keeper/open_files.h"
#include "keeper/remains.h"
#include "keeper/root.h"
#include "keeper/sockets.h"
#include "keeper/table.h"
#include "os/fault_point.h"

namespace thole::keeper {

std::uint64_t (*count_allocations)() = nullptr;

namespace {

// What an epoll event is about: the upper half; the lower half is an index.
constexpr std::uint64_t kTagSignals = 1ULL << 32;
constexpr std::uint64_t kTagListener = 2ULL << 32;
constexpr std::uint64_t kTagLink = 3ULL << 32;
constexpr std::uint64_t kTagClaims = 4ULL << 32;
constexpr std::int64_t kLockNs = 2'000'000'000;
constexpr std::int64_t kHandOverNs = 2'000'000'000;
constexpr std::int64_t kLeaveNs = 1'000'000'000;
// The end of all: what the kernel holds by then, on a disk that hangs, is left behind.
constexpr std::int64_t kStopAllNs = 10'000'000'000;
// Roles are asked to end, and killed after so long: what they must not lose is on disk already.
constexpr std::int64_t kStopRolesNs = 2'000'000'000;
constexpr int kLink = 3;

int cannot(const char* what, const Path& where) {
    std::fprintf(stderr, "keeper: cannot %s %s: %s\n  try: ls -ld %s; df %s\n", what, where.text,
                 std::strerror(errno), where.text, where.text);
    return kKeeperCannotStart;
}

}  // namespace

// All are stopped first: each would else start the next of those that end before it. A shell that
// has the command in its own command line (`ssh host 'pkill ...'`) is not what the pattern matches.
void tell_of_deleted_folder(const Options& options) {
    const char* const run = options.run.text;
    std::fprintf(
        stderr,
        "keeper: the one of this data folder (%s) cannot be reached: its run folder (%s) "
        "was deleted\n  try: pkill -STOP -f '[-]-run %s --data'; pkill -KILL -f '[-]-run %s "
        "--data', and again\n",
        options.data.text, run, run, run);
}

void Keeper::add(int fd, std::uint64_t tag) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = tag;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

bool Keeper::take_lock() {
    Path path;
    path.set("%s/lock", options_.data.text);
    lock_ = ::open(path.text, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock_ < 0) return false;
    struct flock wanted {};
    wanted.l_type = F_WRLCK;
    const std::int64_t deadline = now_nanoseconds() + kLockNs;
    while (::fcntl(lock_, F_OFD_SETLK, &wanted) != 0) {
        if (now_nanoseconds() > deadline) return false;
        ::usleep(2000);  // A child of a dead keeper closes its copy within moments.
    }
    return true;
}

// What watch kept for us comes first, and ends with End.
void Keeper::take_over() {
    const std::int64_t deadline = now_nanoseconds() + kHandOverNs;
    LinkFrame frame{};
    while (true) {
        const Received received = receive_link(kLink, frame);
        if (received == Received::Closed) return;
        if (received == Received::Nothing) {
            // Not before: who was stopped, or slept, meanwhile still takes what is there.
            if (now_nanoseconds() >= deadline) break;
            tick(*ticks_, wire::Role::Keeper);
            ::usleep(500);
            continue;
        }
        if (frame.message == LinkMessage::End) break;
        take(frame);
    }
    set_link(kLink);
}

// From watch. What we have ourselves by now is newer.
void Keeper::take(const LinkFrame& frame) {
    if (frame.entry.fd < 0) return;
    const bool is_new = frame.message == LinkMessage::Park &&
                        parked_.find(frame.entry.kind, frame.entry.id) == nullptr;
    if (!is_new) {
        ::close(frame.entry.fd);
    } else if (parked_.put(frame.entry)) {
        const ParkedEntry* const placed = parked_.find(frame.entry.kind, frame.entry.id);
        clients_.listener_changed(static_cast<std::uint32_t>(placed - parked_.begin()));
    }
}

void Keeper::set_link(int link) {
    if (link_ >= 0 && link_ != link) ::close(link_);
    link_ = link;
    ::fcntl(link_, F_SETFD, FD_CLOEXEC);
    add(link_, kTagLink);
}

bool Keeper::park(const ParkedEntry& entry) {
    FAULT_POINT("park, not kept");
    if (!parked_.put(entry)) return false;
    ParkedEntry* const placed = parked_.find(entry.kind, entry.id);
    FAULT_POINT("park, watch has no copy");
    // A watch that does not take it is of no use: the next one gets everything anew.
    if (link_ >= 0 && !send_link(link_, LinkMessage::Park, *placed))
        roles_.replace(static_cast<std::uint32_t>(wire::Role::Watch));
    clients_.listener_changed(static_cast<std::uint32_t>(placed - parked_.begin()));
    return true;
}

void Keeper::drop(ParkedKind kind, std::uint32_t id) {
    ParkedEntry gone;
    gone.kind = kind;
    gone.id = id;
    FAULT_POINT("drop, kept by both");
    parked_.drop(kind, id);
    if (link_ >= 0) send_link(link_, LinkMessage::Drop, gone);
}

// A listening unix socket of ours; the one that was parked goes on where there is one, else the one
// that its role still holds.
bool Keeper::open_socket(const RoleSocket& wanted) {
    Path path;
    path.set("%s/%s", options_.run.text, wanted.name);
    if (parked_.find(wanted.kind, 0) != nullptr) {
        if (::access(path.text, F_OK) == 0) return true;
        // A keeper that was killed while it shut down deleted the name: nobody comes by it.
        drop(wanted.kind, 0);
    }
    ParkedEntry entry;
    entry.kind = wanted.kind;
    const auto role = static_cast<std::uint32_t>(wanted.role);
    const wire::SlotClaim listening = roles_.who_listens(role);
    if (listening.pid != 0) {
        entry.fd = take_back(listening, path.text);
        // It listens where nobody will come any more.
        if (entry.fd < 0) roles_.replace(role);
    }
    if (entry.fd < 0) entry.fd = listen_at(path.text, wanted.type);
    if (entry.fd < 0) return false;
    park(entry);
    return true;
}

bool Keeper::open_sockets() {
    using wire::Role;
    const RoleSocket all[] = {
        {ParkedKind::KeeperSocket, "keeper.sock", SOCK_SEQPACKET, Role::Keeper},
        {ParkedKind::ApiSocket, "api.sock", SOCK_STREAM, Role::Control},
        {ParkedKind::EdgeSocket, "edge.sock", SOCK_SEQPACKET, Role::Edge},
    };
    for (const RoleSocket& wanted : all) {
        if (!open_socket(wanted)) return false;
    }
    return true;
}

// A table that is missing while its control lives was deleted with the run folder: with a new one
// another would be started beside it. Those that were just killed are gone at once.
bool Keeper::stands_alone() {
    wire::SlotTable* const table = map_table(options_.run.text, MakeTable::No);
    if (table != nullptr) {
        ::munmap(table, sizeof(*table));
        return true;
    }
    const std::int64_t deadline = now_nanoseconds() + kLeaveNs;
    while (control_lives(options_.run.text)) {
        if (now_nanoseconds() > deadline) {
            tell_of_deleted_folder(options_);
            return false;
        }
        ::usleep(10'000);
    }
    // Without a table nobody knows of them: others would be started beside them, on the same state.
    kill_instances_of(options_.data.text);
    return true;
}

int Keeper::run() {
    ::prctl(PR_SET_NAME, "keeper");
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t taken;
    sigemptyset(&taken);
    sigaddset(&taken, SIGCHLD);
    ::sigprocmask(SIG_SETMASK, &taken, nullptr);
    signals_ = ::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    if (!take_lock())
        return lock_ < 0 ? cannot("open its lock in", options_.data) : kKeeperIsNotNeeded;
    FAULT_POINT("start, locked");
    raise_open_files();
    if (!stands_alone()) return kKeeperCannotStart;
    // Whoever held the lock before us may have just deleted it.
    ::mkdir(options_.run.text, 0700);
    Path images;
    images.set("%s/images", options_.run.text);
    ::mkdir(images.text, 0700);
    const char* const slash = std::strrchr(options_.run.text, '/');
    ticks_ = map_ticks(options_.run.text, MakeTable::Yes);
    const Slots::Setting setting{options_.run.text, slash + 1, lock_, epoll_, kTagPidfd, ticks_};
    if (ticks_ == nullptr || !slots_.open(setting))
        return cannot("map its tables in", options_.run);
    tick(*ticks_, wire::Role::Keeper);
    if (!claim_for(slots_.record(static_cast<std::uint32_t>(wire::Role::Keeper)), ::getpid()))
        return cannot("look at itself from", options_.run);
    if (options_.has_link()) {
        // Whoever started us is watch; it stands in its slot from our first moment, or we would
        // start another.
        const int watch = options_.living_parent();
        if (watch != 0)
            claim_for(slots_.record(static_cast<std::uint32_t>(wire::Role::Watch)), watch);
        take_over();
    }
    FAULT_POINT("start, nothing adopted");
    slots_.adopt();
    FAULT_POINT("start, adopted");
    if (!open_sockets()) return cannot("listen in", options_.run);
    add(signals_, kTagSignals);
    add(parked_.find(ParkedKind::KeeperSocket, 0)->fd, kTagListener);
    add(slots_.claims_pipe(), kTagClaims);
    allocations_at_start_ = count_allocations == nullptr ? 0 : count_allocations();
    epoll_event events[64];
    while (!over_) {
        const int count =
            ::epoll_wait(epoll_, events, 64, static_cast<int>(pause_ns() / 1'000'000));
        now_ns_ = now_nanoseconds();
        for (int i = 0; i < count && i < 64; ++i) handle(events[i]);
        turn();
    }
    return kKeeperEnds;
}

void Keeper::handle(const epoll_event& event) {
    const std::uint64_t tag = event.data.u64 & ~0xffffffffULL;
    const auto index = static_cast<std::uint32_t>(event.data.u64);
    if (tag == kTagSignals) {
        signalfd_siginfo info{};
        while (::read(signals_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {}
        reap();
    } else if (tag == kTagListener) {
        const ParkedEntry* const listener = parked_.find(ParkedKind::KeeperSocket, 0);
        if (listener != nullptr) clients_.accept(listener->fd);
    } else if (tag == kTagLink) {
        LinkFrame frame{};
        if (link_ < 0) return;
        // watch says little once it has handed over; an end of file is its death.
        const Received received = receive_link(link_, frame);
        if (received == Received::Frame) take(frame);
        if (received == Received::Closed) ::close(std::exchange(link_, -1));
    } else if (tag == kTagClaims) {
        slots_.read_claims();
    } else if (tag == kTagClient) {
        serve(index, event.events);
    } else if (tag == kTagPidfd) {
        slots_.adopted_ended(index);
    }
}

void Keeper::reap() {
    while (true) {
        int status = 0;
        const pid_t pid = ::waitpid(-1, &status, WNOHANG);
        if (pid <= 0) return;
        slots_.ended(pid, status);
    }
}

void Keeper::turn() {
    if (now_ns_ - last_turn_ns_ >= pause_ns()) {
        last_turn_ns_ = now_ns_;
        slots_.turn(now_ns_);
    }
    tick(*ticks_, wire::Role::Keeper);
    if (stopping_since_ns_ != 0) shut_down();
    if (over_) return;
    const std::uint32_t roles = roles_.turn(now_ns_, *ticks_);
    if (const int link = roles_.take_new_link(); link >= 0) {
        set_link(link);
        if (!send_all(link_, parked_))
            roles_.replace(static_cast<std::uint32_t>(wire::Role::Watch));
    }
    const std::uint64_t told = roles | slots_.changed()[0];
    for (std::uint32_t role = 0; role < wire::kRoleSlots; ++role) {
        if ((told & (1U << role)) != 0) clients_.role_changed(role);
    }
    clients_.slots_changed(slots_.changed());
    slots_.changed().fill(0);
    clients_.flush_all();
}

bool Keeper::listener_news(std::uint32_t place, wire::ListenerState& state) {
    const ParkedEntry& entry = parked_.begin()[place];
    if (entry.kind != ParkedKind::Listener) return false;
    state = {entry.id, entry.address, static_cast<std::uint16_t>(entry.port), 0, 0};
    return true;
}

wire::SyncedEvent Keeper::synced_news() {
    wire::SyncedEvent event{};
    for (std::uint32_t slot = wire::kRoleSlots; slot < wire::kSlotsMax; ++slot) {
        if (slots_.status(slot) != wire::SlotStatus::Free) event.slots += 1;
    }
    for (const ParkedEntry& entry : parked_)
        event.listeners += entry.kind == ParkedKind::Listener ? 1U : 0U;
    event.keepers = slots_.header().keepers;
    event.allocations =
        count_allocations == nullptr ? 0 : count_allocations() - allocations_at_start_;
    event.has_cgroups = slots_.cgroups().available() ? 1 : 0;
    event.pid = static_cast<std::uint32_t>(::getpid());
    return event;
}

// Roles first, so that nobody starts anything; then what they left; then our own traces.
void Keeper::shut_down() {
    const std::int64_t since = now_ns_ - stopping_since_ns_;
    const auto how = since < kStopRolesNs ? RoleTable::Stop::Ask : RoleTable::Stop::Force;
    // One that the kernel holds (a disk that hangs) does not hold up the end.
    if (!roles_.stop(how) && since < kStopAllNs) return;
    if (!slots_.kill_everything() && since < kStopAllNs) return;
    FAULT_POINT("stop, instances gone");
    // Whoever left its session came to us, or to watch, when its parent died.
    const wire::SlotClaim watch =
        read_claim(slots_.record(static_cast<std::uint32_t>(wire::Role::Watch)).claim);
    const pid_t watch_pid = is_alive(watch) ? static_cast<pid_t>(watch.pid) : 0;
    bool none = kill_children(::getpid(), watch_pid);
    none = kill_children(watch_pid, ::getpid()) && none;
    reap();
    if (!none && since < kStopAllNs) return;
    slots_.cgroups().close();
    FAULT_POINT("stop, folder there");
    delete_run_folder();
    FAULT_POINT("stop, folder gone");
    if (link_ >= 0) send_link(link_, LinkMessage::Leave, ParkedEntry{});
    FAULT_POINT("stop, watch told");
    // One that was stopped would stay for ever.
    if (watch_pid > 1) ::kill(watch_pid, SIGCONT);
    over_ = true;
}

void Keeper::delete_run_folder() {
    Path images;
    images.set("%s/images", options_.run.text);
    delete_folder(images.text);
    delete_folder(options_.run.text);
}

int run_keeper(const Options& options) {
    // Large tables: not on the stack, and made once.
    static Keeper keeper(options);
    return keeper.run();
}

}  // namespace thole::keeper
