#include "edge/control_link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "edge/keeper_link.h"
#include "edge/worker.h"
#include "os/linux_files.h"
#include "wire/frame.h"

namespace thole::edge {
namespace {

constexpr int kTurnMs = 100;
constexpr std::size_t kSnapshotBytesMax = 16 * 1024 * 1024;
constexpr std::size_t kInFlightPage = 4096;

}  // namespace

template <typename Message>
void ControlLink::send(wire::EdgeMessage type, const Message& message) {
    send_frame(wire::seal_message(type, message));
}

void ControlLink::send_frame(const std::string& frame) {
    if (!link_.is_open()) return;
    // A control that does not read is not waited for: it connects again and asks again.
    if (::send(link_.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0) drop();
}

void ControlLink::drop() { link_.reset(-1); }

void ControlLink::run() {
    announce();
    while (true) {
        pollfd waits[2] = {{runtime_.segment.control_listener, POLLIN, 0},
                           {link_.get(), POLLIN, 0}};
        ::poll(waits, 2, kTurnMs);
        if (ticks_ != nullptr) {
            __atomic_store_n(&ticks_->last[static_cast<std::uint32_t>(wire::Role::Edge)],
                             static_cast<std::uint64_t>(now_ns()), __ATOMIC_RELAXED);
        }
        announce();
        if ((waits[0].revents & POLLIN) != 0) accept();
        if (link_.is_open() && waits[1].revents != 0 && waits[1].fd == link_.get()) receive();
    }
}

// Tells keeper who carries the traffic. A keeper that is just being replaced is told in a later
// turn; the link stays open so that a message on its way is not lost with it.
void ControlLink::announce() {
    if (is_announced_) return;
    Result<KeeperLink> keeper = KeeperLink::connect(folders_.run);
    if (!keeper.ok()) return;
    keeper_.emplace(std::move(*keeper));
    is_announced_ = keeper_->serve_as_edge(holder_pid_).ok();
}

void ControlLink::accept() {
    os::FileDescriptor fd(::accept4(runtime_.segment.control_listener, nullptr, nullptr,
                                    SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.is_open()) return;
    ucred peer{};
    socklen_t size = sizeof(peer);
    const bool known = ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    if (known && (peer.uid == 0 || peer.uid == ::geteuid())) link_ = std::move(fd);
}

void ControlLink::receive() {
    static char bytes[wire::kFrameBytesMax];
    const ssize_t got = ::recv(link_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) return drop();
    obey({bytes, static_cast<std::size_t>(got)});
}

void ControlLink::obey(std::string_view datagram) {
    const auto frame = wire::open_frame(datagram);
    if (!frame) return drop();
    switch (static_cast<wire::EdgeMessage>(frame->type)) {
        case wire::EdgeMessage::Hello: {
            wire::Welcome welcome{};
            welcome.version = 1;
            welcome.pid = static_cast<std::uint32_t>(::getpid());
            welcome.epoch = runtime_.segment.epoch.load();
            welcome.snapshot_version = runtime_.segment.snapshot_version;
            welcome.endpoints_sequence = sequence_;
            welcome.workers = static_cast<std::uint32_t>(runtime_.workers.size());
            return send(wire::EdgeMessage::Welcome, welcome);
        }
        case wire::EdgeMessage::Snapshot:
            if (const auto request = wire::read_message<wire::SnapshotRequest>(frame->body))
                return activate(*request);
            return drop();
        case wire::EdgeMessage::Endpoints: return change_endpoints(frame->body);
        default: return drop();
    }
}

// Publishes what stands in the segment and waits until no worker goes by what stood there before.
void ControlLink::wait_for_workers() {
    const std::uint64_t sequence = runtime_.table_sequence.fetch_add(1) + 1;
    for (const std::unique_ptr<Worker>& worker : runtime_.workers) {
        worker->wake();
        while (worker->applied() != sequence) ::poll(nullptr, 0, 1);
    }
}

Status ControlLink::load(std::uint64_t version) {
    os::LinuxFiles files;
    const std::string path = folders_.data + "/edge/snapshot." + std::to_string(version);
    const std::string bytes = TRY(files.read(path, kSnapshotBytesMax));
    const wire::Snapshot snapshot = TRY(wire::read_snapshot(bytes));
    if (snapshot.listeners.size() > kListenersMax)
        return overload("the snapshot has too many listeners");
    KeeperLink keeper = TRY(KeeperLink::connect(folders_.run));
    Segment& segment = runtime_.segment;
    for (const wire::SnapshotListener& wanted : snapshot.listeners) {
        ListenerEntry* const end = segment.listeners + segment.listener_count;
        ListenerEntry* const place =
            std::find_if(segment.listeners, end,
                         [&](const ListenerEntry& entry) { return entry.id == wanted.id; });
        if (place != end) {
            place->service = wanted.service;
            continue;
        }
        os::FileDescriptor listener = TRY(keeper.take_listener(wanted.id));
        *place = {wanted.id, listener.release(), wanted.service,
                  static_cast<std::uint32_t>(wanted.kind)};
        std::atomic_signal_fence(std::memory_order_seq_cst);
        segment.listener_count += 1;
    }
    segment.snapshot_version = version;
    return success();
}

void ControlLink::activate(const wire::SnapshotRequest& request) {
    wire::SnapshotApplied answer{};
    answer.sequence = request.sequence;
    answer.version = request.version;
    const Status loaded = load(request.version);
    if (!loaded.ok()) {
        answer.error = EINVAL;
        std::strncpy(answer.reason, loaded.error().message.c_str(), sizeof(answer.reason) - 1);
    } else {
        wait_for_workers();
        os::LinuxFiles files;
        // What the next edge starts from, should this one's segment be lost, too.
        const Status kept =
            files.replace(folders_.data + "/edge/current", std::to_string(request.version),
                          env::Durability::Synced, 0600);
        if (!kept.ok())
            std::strncpy(answer.reason, kept.error().message.c_str(), sizeof(answer.reason) - 1);
    }
    send(wire::EdgeMessage::SnapshotApplied, answer);
}

void ControlLink::activate_last() {
    os::LinuxFiles files;
    const Result<std::string> version = files.read(folders_.data + "/edge/current", 32);
    if (!version.ok() || runtime_.segment.snapshot_version != 0) return;
    std::uint64_t number = 0;
    for (const char c : *version) {
        if (c < '0' || c > '9') return;
        number = number * 10 + static_cast<std::uint64_t>(c - '0');
    }
    const Status loaded = load(number);
    if (loaded.ok()) wait_for_workers();
}

void ControlLink::change_endpoints(std::string_view body) {
    wire::EndpointsHeader header{};
    if (body.size() < sizeof(header)) return drop();
    std::memcpy(&header, body.data(), sizeof(header));
    body.remove_prefix(sizeof(header));
    if (body.size() != header.count * sizeof(wire::EndpointChange)) return drop();
    Segment& segment = runtime_.segment;
    std::vector<bool> named(wire::kSlotsMax, false);
    for (std::uint32_t i = 0; i < header.count; ++i) {
        wire::EndpointChange change{};
        std::memcpy(&change, body.data() + i * sizeof(change), sizeof(change));
        if (change.at.slot >= wire::kSlotsMax) return drop();
        named[change.at.slot] = true;
        EndpointEntry& entry = segment.endpoints[change.at.slot];
        // Out first, in last: at no instant does a half-written entry serve.
        __atomic_store_n(&entry.bits, static_cast<std::uint32_t>(wire::kBitGone), __ATOMIC_RELEASE);
        entry.generation = change.at.generation;
        entry.service = change.service;
        entry.release = change.release;
        entry.address = change.address;
        entry.port = change.port;
        __atomic_store_n(&entry.bits, change.bits, __ATOMIC_RELEASE);
    }
    for (std::uint32_t slot = 0; header.full != 0 && slot < wire::kSlotsMax; ++slot) {
        if (!named[slot])
            __atomic_store_n(&segment.endpoints[slot].bits,
                             static_cast<std::uint32_t>(wire::kBitGone), __ATOMIC_RELEASE);
    }
    wait_for_workers();
    sequence_ = header.sequence;
    acknowledge(header.sequence);
}

void ControlLink::acknowledge(std::uint64_t sequence) {
    std::vector<wire::InFlight> all;
    for (const std::unique_ptr<Worker>& worker : runtime_.workers) {
        all.insert(all.end(), worker->in_flight().begin(), worker->in_flight().end());
    }
    std::size_t at = 0;
    do {
        const std::size_t count = std::min(kInFlightPage, all.size() - at);
        const wire::EndpointsAppliedHeader header{sequence, static_cast<std::uint32_t>(count),
                                                  at + count < all.size() ? 1U : 0U};
        std::string body(reinterpret_cast<const char*>(&header), sizeof(header));
        body.append(reinterpret_cast<const char*>(all.data() + at), count * sizeof(wire::InFlight));
        send_frame(
            wire::seal(static_cast<std::uint16_t>(wire::EdgeMessage::EndpointsApplied), body));
        at += count;
    } while (at < all.size());
}

}  // namespace thole::edge
