#include "keeper/keeper.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "keeper/clients.h"
#include "keeper/parked.h"
#include "keeper/role_table.h"
#include "keeper/slots.h"
#include "keeper/table.h"

namespace thole::keeper {

std::uint64_t (*count_allocations)() = nullptr;

namespace {

// What an epoll event is about: the upper half; the lower half is an index.
constexpr std::uint64_t kTagSignals = 1ULL << 32;
constexpr std::uint64_t kTagListener = 2ULL << 32;
constexpr std::uint64_t kTagLink = 3ULL << 32;
constexpr std::uint64_t kTagClaims = 4ULL << 32;
constexpr std::uint64_t kTagClient = 5ULL << 32;
constexpr std::uint64_t kTagPidfd = 6ULL << 32;
constexpr std::int64_t kLockNs = 2'000'000'000;
constexpr std::int64_t kHandOverNs = 2'000'000'000;
constexpr std::int64_t kStopRolesNs = 2'000'000'000;
constexpr int kLink = 3;
constexpr int kBacklog = 4096;

class Keeper final : public News {
public:
    explicit Keeper(const Options& options)
        : options_(options),
          epoll_(::epoll_create1(EPOLL_CLOEXEC)),
          roles_(options, slots_, parked_),
          clients_(*this, epoll_, kTagClient) {}
    int run();

    wire::SlotState slot_news(std::uint32_t slot) override { return slots_.state(slot); }
    bool listener_news(std::uint32_t place, wire::ListenerState& state) override;
    bool role_news(std::uint32_t role, wire::RoleState& state) override {
        return roles_.state(role, state);
    }
    wire::SyncedEvent synced_news() override;

private:
    bool take_lock();
    void take_over();
    bool open_socket(ParkedKind kind, const char* name, int type);
    void add(int fd, std::uint64_t tag);
    void turn();
    void handle(const epoll_event& event);
    void reap();
    void serve(std::uint32_t index, std::uint32_t events);
    void obey(std::uint32_t index, const wire::Frame& frame);
    void obey_slot(std::uint32_t index, const wire::Frame& frame);
    void obey_descriptor(std::uint32_t index, const wire::Frame& frame, int descriptor);
    void ensure_listener(std::uint32_t index, const wire::EnsureListenerRequest& request);
    void serve_as_edge(std::uint32_t index, const wire::Frame& frame,
                       const wire::ServeAsEdgeRequest& request);
    void refuse(std::uint32_t index, const wire::Frame& frame, wire::SlotRef at,
                const char* reason);
    void park(const ParkedEntry& entry);
    void drop(ParkedKind kind, std::uint32_t id);
    void set_link(int link);
    void shut_down();
    void delete_run_folder();

    const Options& options_;
    int epoll_;
    int lock_ = -1;
    int link_ = -1;
    int signals_ = -1;
    Slots slots_;
    Parked parked_;
    RoleTable roles_;
    Clients clients_;
    wire::TicksPage* ticks_ = nullptr;
    std::int64_t now_ns_ = 0;
    std::int64_t last_turn_ns_ = 0;
    std::int64_t stopping_since_ns_ = 0;
    std::uint64_t allocations_at_start_ = 0;
    bool over_ = false;
};

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
    while (now_nanoseconds() < deadline) {
        const Received received = receive_link(kLink, frame);
        if (received == Received::Closed) return;
        if (received == Received::Nothing) {
            ::usleep(500);
            continue;
        }
        if (frame.message == LinkMessage::End) break;
        if (frame.message == LinkMessage::Park && frame.entry.fd >= 0) parked_.put(frame.entry);
    }
    set_link(kLink);
}

void Keeper::set_link(int link) {
    if (link_ >= 0 && link_ != link) ::close(link_);
    link_ = link;
    ::fcntl(link_, F_SETFD, FD_CLOEXEC);
    add(link_, kTagLink);
}

void Keeper::park(const ParkedEntry& entry) {
    if (!parked_.put(entry)) return;
    ParkedEntry* const placed = parked_.find(entry.kind, entry.id);
    if (link_ >= 0) send_link(link_, LinkMessage::Park, *placed);
    clients_.listener_changed(static_cast<std::uint32_t>(placed - parked_.begin()));
}

void Keeper::drop(ParkedKind kind, std::uint32_t id) {
    ParkedEntry gone;
    gone.kind = kind;
    gone.id = id;
    parked_.drop(kind, id);
    if (link_ >= 0) send_link(link_, LinkMessage::Drop, gone);
}

// A listening unix socket of ours; the one that was parked goes on where there is one.
bool Keeper::open_socket(ParkedKind kind, const char* name, int type) {
    if (parked_.find(kind, 0) != nullptr) return true;
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    const int length =
        std::snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", options_.run.text, name);
    if (length >= static_cast<int>(sizeof(at.sun_path))) {
        errno = ENAMETOOLONG;
        return false;
    }
    const int fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ::unlink(at.sun_path);
    const mode_t before = ::umask(0177);
    const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0;
    ::umask(before);
    if (!bound || ::listen(fd, kBacklog) != 0) {
        const int error = errno;
        ::close(fd);
        errno = error;
        return false;
    }
    ParkedEntry entry;
    entry.kind = kind;
    entry.fd = fd;
    park(entry);
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
    if (!take_lock()) return kKeeperIsNotNeeded;
    Path images;
    images.set("%s/images", options_.run.text);
    ::mkdir(images.text, 0700);
    const char* const slash = std::strrchr(options_.run.text, '/');
    const Slots::Setting setting{options_.run.text, slash + 1, lock_, epoll_, kTagPidfd};
    ticks_ = map_ticks(options_.run.text, MakeTable::Yes);
    if (ticks_ == nullptr || !slots_.open(setting)) {
        std::fprintf(stderr, "keeper: cannot map its tables in %s: %s\n", options_.run.text,
                     std::strerror(errno));
        return kKeeperCannotStart;
    }
    tick(*ticks_, wire::Role::Keeper);
    claim_for(slots_.record(static_cast<std::uint32_t>(wire::Role::Keeper)), ::getpid());
    if (options_.has_link()) {
        // Whoever started us is watch; it stands in its slot from our first moment, or we would
        // start another.
        const int watch = options_.living_parent();
        if (watch != 0)
            claim_for(slots_.record(static_cast<std::uint32_t>(wire::Role::Watch)), watch);
        take_over();
    }
    slots_.adopt();
    if (!open_socket(ParkedKind::KeeperSocket, "keeper.sock", SOCK_SEQPACKET) ||
        !open_socket(ParkedKind::ApiSocket, "api.sock", SOCK_STREAM) ||
        !open_socket(ParkedKind::EdgeSocket, "edge.sock", SOCK_SEQPACKET)) {
        std::fprintf(stderr, "keeper: cannot listen in %s: %s\n", options_.run.text,
                     std::strerror(errno));
        return kKeeperCannotStart;
    }
    add(signals_, kTagSignals);
    add(parked_.find(ParkedKind::KeeperSocket, 0)->fd, kTagListener);
    add(slots_.claims_pipe(), kTagClaims);
    allocations_at_start_ = count_allocations == nullptr ? 0 : count_allocations();
    epoll_event events[64];
    while (!over_) {
        const int count = ::epoll_wait(epoll_, events, 64, static_cast<int>(kTurnNs / 1'000'000));
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
        // watch says nothing once it has handed over; an end of file is its death.
        if (link_ >= 0 && receive_link(link_, frame) == Received::Closed) {
            ::close(link_);
            link_ = -1;
        }
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
    if (now_ns_ - last_turn_ns_ >= kTurnNs) {
        last_turn_ns_ = now_ns_;
        slots_.turn(now_ns_);
    }
    tick(*ticks_, wire::Role::Keeper);
    if (stopping_since_ns_ != 0) shut_down();
    if (over_) return;
    const std::uint32_t roles = roles_.turn(now_ns_, *ticks_);
    if (const int link = roles_.take_new_link(); link >= 0) {
        set_link(link);
        send_all(link_, parked_);
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

void Keeper::serve(std::uint32_t index, std::uint32_t events) {
    Client& client = clients_.at(index);
    if (client.fd < 0) return;
    static char bytes[wire::kFrameBytesMax];
    int descriptor = -1;
    const long got = receive_with_descriptor(client.fd, bytes, sizeof(bytes), descriptor);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        if ((events & EPOLLOUT) != 0) clients_.flush(index);
        return;
    }
    const auto frame =
        got <= 0 ? std::nullopt : wire::open_frame({bytes, static_cast<std::size_t>(got)});
    // A peer that does not speak our version, or does not greet first, is not listened to.
    if (!frame || (!client.greeted &&
                   frame->type != static_cast<std::uint16_t>(wire::KeeperMessage::Hello))) {
        if (descriptor >= 0) ::close(descriptor);
        clients_.close(index);
        return;
    }
    if (frame->type == static_cast<std::uint16_t>(wire::KeeperMessage::ParkSegment)) {
        obey_descriptor(index, *frame, descriptor);
        return;
    }
    if (descriptor >= 0) ::close(descriptor);
    obey(index, *frame);
}

void Keeper::refuse(std::uint32_t index, const wire::Frame& frame, wire::SlotRef at,
                    const char* reason) {
    wire::RefusedEvent event{};
    event.request = frame.type;
    event.at = at;
    std::strncpy(event.reason, reason, sizeof(event.reason) - 1);
    clients_.answer(index, wire::KeeperMessage::Refused, body_of(event), -1);
}

void Keeper::obey(std::uint32_t index, const wire::Frame& frame) {
    switch (static_cast<wire::KeeperMessage>(frame.type)) {
        case wire::KeeperMessage::Hello: clients_.greet(index); return;
        case wire::KeeperMessage::Spawn:
        case wire::KeeperMessage::Signal:
        case wire::KeeperMessage::Forget: obey_slot(index, frame); return;
        case wire::KeeperMessage::EnsureListener:
            if (const auto request = wire::read_message<wire::EnsureListenerRequest>(frame.body)) {
                ensure_listener(index, *request);
                return;
            }
            break;
        case wire::KeeperMessage::DropListener:
            if (const auto request = wire::read_message<wire::DropListenerRequest>(frame.body)) {
                drop(ParkedKind::Listener, request->id);
                return;
            }
            break;
        case wire::KeeperMessage::TakeListener:
        case wire::KeeperMessage::TakeSegment: obey_descriptor(index, frame, -1); return;
        case wire::KeeperMessage::ServeAsEdge:
            if (const auto request = wire::read_message<wire::ServeAsEdgeRequest>(frame.body)) {
                serve_as_edge(index, frame, *request);
                return;
            }
            break;
        case wire::KeeperMessage::Shutdown:
            if (stopping_since_ns_ == 0) stopping_since_ns_ = now_ns_;
            clients_.answer(index, wire::KeeperMessage::ShuttingDown, {}, -1);
            return;
        default: break;
    }
    refuse(index, frame, {}, "keeper does not know this request");
}

void Keeper::obey_slot(std::uint32_t index, const wire::Frame& frame) {
    const char* reason = "the request is cut short";
    wire::SlotRef at{};
    if (const auto request = wire::read_message<wire::SignalRequest>(frame.body)) {
        at = request->at;
        reason = slots_.signal(*request);
    } else if (const auto slot = wire::read_message<wire::SlotRef>(frame.body)) {
        at = *slot;
        const bool spawns = frame.type == static_cast<std::uint16_t>(wire::KeeperMessage::Spawn);
        reason = stopping_since_ns_ != 0 ? "keeper is shutting down"
                 : spawns                ? slots_.spawn(at)
                                         : slots_.forget(at);
    }
    if (reason != nullptr) refuse(index, frame, at, reason);
}

void Keeper::obey_descriptor(std::uint32_t index, const wire::Frame& frame, int descriptor) {
    wire::HandedEvent event{frame.type, 0, 0};
    int handed = -1;
    const auto type = static_cast<wire::KeeperMessage>(frame.type);
    if (type == wire::KeeperMessage::ParkSegment) {
        if (descriptor < 0) return refuse(index, frame, {}, "no descriptor came with it");
        ParkedEntry entry;
        entry.kind = ParkedKind::Segment;
        entry.fd = descriptor;
        park(entry);
    } else if (type == wire::KeeperMessage::TakeSegment) {
        const ParkedEntry* const segment = parked_.find(ParkedKind::Segment, 0);
        handed = segment == nullptr ? -1 : segment->fd;
    } else if (const auto request = wire::read_message<wire::TakeListenerRequest>(frame.body)) {
        const ParkedEntry* const listener = parked_.find(ParkedKind::Listener, request->id);
        event.id = request->id;
        handed = listener == nullptr ? -1 : listener->fd;
    }
    event.has_descriptor = handed >= 0 ? 1 : 0;
    clients_.answer(index, wire::KeeperMessage::Handed, body_of(event), handed);
}

void Keeper::ensure_listener(std::uint32_t index, const wire::EnsureListenerRequest& request) {
    wire::ListenerState state{request.id, request.address, request.port, 0, 0};
    const ParkedEntry* entry = parked_.find(ParkedKind::Listener, request.id);
    const bool same = entry != nullptr && entry->address == request.address &&
                      (request.port == 0 || entry->port == request.port);
    if (!same) {
        if (entry != nullptr) drop(ParkedKind::Listener, request.id);
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const int one = 1;
        ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(request.address);
        at.sin_port = htons(request.port);
        socklen_t size = sizeof(at);
        if (::bind(fd, reinterpret_cast<const sockaddr*>(&at), size) != 0 ||
            ::listen(fd, kBacklog) != 0 ||
            ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
            state.error = errno;
            if (fd >= 0) ::close(fd);
            clients_.answer(index, wire::KeeperMessage::ListenerFailed, body_of(state), -1);
            return;
        }
        park({ParkedKind::Listener, request.id, request.address, ntohs(at.sin_port), fd});
        entry = parked_.find(ParkedKind::Listener, request.id);
    }
    if (entry == nullptr) return;
    clients_.listener_changed(static_cast<std::uint32_t>(entry - parked_.begin()));
}

// The first edge is our child and has claimed its slot; its successors, holders before, come to be
// known here.
void Keeper::serve_as_edge(std::uint32_t index, const wire::Frame& frame,
                           const wire::ServeAsEdgeRequest& request) {
    constexpr auto kEdge = static_cast<std::uint32_t>(wire::Role::Edge);
    wire::SlotRecord& record = slots_.record(kEdge);
    ucred peer{};
    socklen_t size = sizeof(peer);
    ::getsockopt(clients_.at(index).fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    const wire::SlotClaim claim = read_claim(record.claim);
    if (claim.pid != static_cast<std::uint32_t>(peer.pid)) {
        if (is_alive(claim)) return refuse(index, frame, {}, "another edge lives");
        claim_for(record, peer.pid);
        slots_.adopt_one(kEdge);
    }
    record.successor = request.holder_pid;
}

// Roles first, so that nobody starts anything; then what they left; then our own traces.
void Keeper::shut_down() {
    const bool in_time = now_ns_ - stopping_since_ns_ < kStopRolesNs;
    if (!roles_.stop(in_time ? RoleTable::Stop::Ask : RoleTable::Stop::Force)) return;
    if (!slots_.kill_everything()) return;
    // Whatever of ours still ends (an app's own children) is reaped before the last folder goes.
    reap();
    slots_.cgroups().close();
    delete_run_folder();
    if (link_ >= 0) send_link(link_, LinkMessage::Leave, ParkedEntry{});
    over_ = true;
}

void Keeper::delete_run_folder() {
    for (const char* name : {"keeper.sock", "api.sock", "edge.sock", "slots", "ticks", "images"}) {
        Path path;
        path.set("%s/%s", options_.run.text, name);
        if (::unlink(path.text) != 0) ::rmdir(path.text);
    }
    ::rmdir(options_.run.text);
}

}  // namespace

int run_keeper(const Options& options) {
    // Large tables: not on the stack, and made once.
    static Keeper keeper(options);
    return keeper.run();
}

}  // namespace thole::keeper
