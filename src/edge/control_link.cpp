#include "edge/control_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "edge/lineage.h"
#include "edge/sharing.h"
#include "edge/why.h"
#include "edge/worker.h"
#include "os/fault_point.h"
#include "os/peers.h"
#include "wire/frame.h"

namespace thole::edge {
namespace {

constexpr int kTurnMs = 100;
constexpr int kSendMs = 1000;  // So long a control that does not read is waited for.
constexpr std::int64_t kReportNs = 100'000'000;
constexpr std::size_t kInFlightPage = 4096;

}  // namespace

template <typename Message>
void ControlLink::send(wire::EdgeMessage type, const Message& message) {
    send_frame(wire::seal_message(type, message));
}

// What control asked for. Where it does not read, it connects again and asks again.
void ControlLink::send_frame(const std::string& frame) {
    pollfd room{link_.get(), POLLOUT, 0};
    while (link_.is_open() && !try_send(frame)) {
        if (!link_.is_open() || ::poll(&room, 1, kSendMs) <= 0) return drop();
    }
}

// False where there is no room now.
bool ControlLink::try_send(const std::string& frame) {
    if (!link_.is_open()) return false;
    if (::send(link_.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
        return true;
    if (errno != EAGAIN && errno != EINTR) drop();
    return false;
}

void ControlLink::drop() {
    link_.reset(-1);
    is_greeted_ = is_answer_wanted_ = false;
    waiting_.clear();
}

std::vector<int> ControlLink::descriptors() const {
    std::vector<int> all = disk_.descriptors();
    const std::vector<int> more = access_.descriptors();
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

// The workers have just been started.
void ControlLink::run() {
    if (upgraded_) upgraded_->quiet = now_ns() - quiet_since_ns_;
    while (true) turn();
}

void ControlLink::turn() {
    announce();
    pollfd waits[7] = {{runtime_.segment.control_listener, POLLIN, 0},
                       {link_.get(), POLLIN, 0},
                       {keeper_ ? keeper_->descriptor() : -1, POLLIN, 0},
                       {holder_.descriptor(), POLLIN, 0},
                       {disk_.descriptor(), POLLIN, 0},
                       {access_.descriptor(), POLLIN, 0},
                       {hand_over_.descriptor(), POLLIN, 0}};
    ::poll(waits, 7, kTurnMs);
    tick();
    refresh_leases(runtime_.segment.leases, now_ns());
    if (waits[3].revents != 0 || holder_.descriptor() < 0) replace_holder();
    if (waits[2].revents != 0) hear_keeper();
    look_at_successor();
    if (waits[4].revents != 0) hear_disk();
    access_.turn();
    if ((waits[0].revents & POLLIN) != 0) accept();
    if (link_.is_open() && waits[1].revents != 0 && waits[1].fd == link_.get()) receive();
    if (judging_.judge_all(now_ns())) {
        wait_for_workers();
        report();
    }
    if (now_ns() - reported_ns_ >= kReportNs) report();
}

// The oldest turn of all threads: a worker that hangs is a hung edge, and keeper replaces it.
void ControlLink::tick() {
    std::int64_t oldest_ns = now_ns();
    for (const std::unique_ptr<Worker>& worker : runtime_.workers)
        oldest_ns = std::min(oldest_ns, worker->turned_ns());
    ticks_.tell(oldest_ns);
}

void ControlLink::replace_holder() {
    if (!holder_.replace(runtime_)) return;
    if (keeper_ && !keeper_->serve_as_edge(holder_.pid()).ok()) keeper_.reset();
}

// Tells keeper who carries the traffic, and gives it what a keeper before it may have had. One that
// is just being replaced is told in a later turn, and so is one that refuses: the edge before may
// outlive its SIGKILL by a moment.
void ControlLink::announce() {
    if (keeper_ && keeper_->is_refused()) keeper_.reset();
    if (keeper_) return;
    Result<KeeperLink> keeper = KeeperLink::connect(folders_.run);
    if (!keeper.ok()) return;
    // It would take us for its edge, but control has no way to us, and our ticks are nobody's: its
    // own edge is to serve. Asked of a keeper that is there: it has made its own before it listens.
    if (ticks_.is_out_of_date(folders_.run)) end_lineage(runtime_.segment);
    keeper_.emplace(std::move(*keeper));
    if (!keeper_->serve_as_edge(holder_.pid()).ok()) return keeper_.reset();
    park_what_keeper_lost();
}

// After the deaths of both keeper and watch the descriptors are here alone.
void ControlLink::park_what_keeper_lost() {
    const Result<std::vector<std::uint32_t>> parked = keeper_->parked_listeners();
    if (!parked.ok()) return keeper_.reset();
    for (std::uint32_t i = 0; i < runtime_.segment.listener_count; ++i) {
        const ListenerEntry& entry = runtime_.segment.listeners[i];
        const bool is_known = std::find(parked->begin(), parked->end(), entry.id) != parked->end();
        if (entry.id == 0 || is_known) continue;
        if (!keeper_->park_listener(entry.id, entry.fd).ok()) return keeper_.reset();
    }
    if (!keeper_->park_segment(runtime_.segment.memory).ok()) keeper_.reset();
}

// Its news are not for us; its end is.
void ControlLink::hear_keeper() {
    if (!keeper_->skip_news()) keeper_.reset();
}

// Where it takes our place this does not return.
void ControlLink::look_at_successor() {
    if (os::FileDescriptor successor = keeper_ ? keeper_->take_successor() : os::FileDescriptor();
        successor.is_open())
        hand_over_.begin(std::move(successor));
    const std::optional<wire::Upgraded> failed = hand_over_.turn();
    if (failed && link_.is_open()) send(wire::EdgeMessage::Upgraded, *failed);
}

void ControlLink::tell_of_upgrade(const Inheritance& from, const Adopted& adopted) {
    quiet_since_ns_ = from.since_ns;
    upgraded_ = wire::Upgraded{};
    upgraded_->old_pid = from.old_pid;
    upgraded_->new_pid = static_cast<std::uint32_t>(::getpid());
    upgraded_->connections = adopted.clients;
    upgraded_->lost = adopted.closed;
    for (std::uint32_t fd = 0; fd < kDescriptorsMax; ++fd) {
        const bool is_client =
            runtime_.socket(fd).is_open && runtime_.record(fd).kind == Kind::Client;
        if (is_client && has_exchange(runtime_.record(fd)) &&
            current(runtime_.exchange(fd)).phase == Phase::Tunnel)
            ++upgraded_->tunnels;
    }
}

void ControlLink::accept() {
    os::FileDescriptor fd(::accept4(runtime_.segment.control_listener, nullptr, nullptr,
                                    SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.is_open()) return;
    if (!os::may_command(fd.get())) return;
    drop();
    link_ = std::move(fd);
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
        case wire::EdgeMessage::Hello:
            if (const auto hello = wire::read_message<wire::HelloToEdge>(frame->body))
                return welcome(*hello);
            return drop();
        case wire::EdgeMessage::Snapshot:
            if (const auto request = wire::read_message<wire::SnapshotRequest>(frame->body))
                return activate(*request);
            return drop();
        case wire::EdgeMessage::Endpoints: return change_endpoints(frame->body);
        case wire::EdgeMessage::Hold:
            if (const auto request = wire::read_message<wire::HoldRequest>(frame->body))
                return hold(*request);
            return drop();
        case wire::EdgeMessage::Shares: return share(frame->body);
        case wire::EdgeMessage::Cut:
            if (const auto request = wire::read_message<wire::CutRequest>(frame->body))
                return cut(*request);
            return drop();
        case wire::EdgeMessage::Why:
            if (const auto request = wire::read_message<wire::WhyRequest>(frame->body))
                return tell_why(*request);
            return drop();
        case wire::EdgeMessage::Fault:
            if (const auto request = wire::read_message<wire::FaultRequest>(frame->body))
                return inject(*request);
            return drop();
        case wire::EdgeMessage::Drain:
            if (const auto request = wire::read_message<wire::DrainRequest>(frame->body))
                return drain(*request);
            return drop();
        default: return drop();
    }
}

void ControlLink::welcome(const wire::HelloToEdge& hello) {
    wire::Welcome welcome{};
    welcome.version = 1;
    welcome.pid = static_cast<std::uint32_t>(::getpid());
    welcome.epoch = runtime_.segment.epoch.load();
    welcome.snapshot_version = runtime_.segment.snapshot_version;
    welcome.endpoints_sequence = sequence_;
    welcome.workers = static_cast<std::uint32_t>(runtime_.workers.size());
    for (std::uint32_t i = 0; i < runtime_.segment.service_count; ++i)
        welcome.shared += runtime_.segment.services[i].shares != 0 ? 1U : 0U;
    if (upgraded_) send(wire::EdgeMessage::Upgraded, *upgraded_);
    send(wire::EdgeMessage::Welcome, welcome);
    is_greeted_ = link_.is_open();
    wants_routes_ = (hello.wants & wire::kWantsRoutes) != 0;
    reports_.begin();
    route_reports_.begin();
    refusal_reports_.begin();
    report();
}

void ControlLink::report(Patience patience) {
    reported_ns_ = now_ns();
    if (!is_greeted_) return;
    reports_.send_changes([this, patience](const std::string& frame) {
        if (patience == Patience::None) return try_send(frame);
        send_frame(frame);
        return link_.is_open();
    });
    // They can wait, and what control waits for may not wait for them.
    if (!wants_routes_ || patience != Patience::None) return;
    const auto send = [this](const std::string& frame) { return try_send(frame); };
    refusal_reports_.send_changes(reported_ns_, send);
    route_reports_.send_some(reported_ns_, send);
}

// Publishes what stands in the segment and waits until no worker goes by what stood there before.
void ControlLink::wait_for_workers() {
    const std::uint64_t sequence = runtime_.table_sequence.fetch_add(1) + 1;
    for (const std::unique_ptr<Worker>& worker : runtime_.workers) {
        worker->wake();
        while (worker->applied() != sequence) ::poll(nullptr, 0, 1);
    }
}

// Meanwhile all else goes on, what control says of endpoints, too: a snapshot waits for the disk,
// and nothing waits for it.
void ControlLink::activate(const wire::SnapshotRequest& request) {
    waiting_.push_back(request);
    begin_activation();
}

void ControlLink::begin_activation() {
    if (activating_ || waiting_.empty()) return;
    activating_ = waiting_.front();
    waiting_.pop_front();
    is_answer_wanted_ = true;
    disk_.read_snapshot(activating_->version);
}

// Read, found to be right, durably named as the one to begin with, and only then active. But where
// there is none before it, one that cannot be named is better than none.
void ControlLink::hear_disk() {
    if (!disk_.take_done() || !activating_) return;
    const Status done = disk_.outcome();
    if (!next_) {
        if (!done.ok()) return end_activation(done);
        Result<NextSnapshot> next =
            prepare_snapshot(runtime_.segment, folders_, activating_->version, disk_.bytes());
        if (!next.ok()) return end_activation(next.error());
        next_ = std::move(*next);
        return disk_.name_current(next_->version);
    }
    if (done.ok() || runtime_.segment.snapshot_version == 0) {
        put_snapshot(runtime_.segment, *next_, held_);
        if (shares_) put_shares(runtime_.segment, *shares_);
        wait_for_workers();
        drop_what_is_left(runtime_.segment, *next_);
    }
    end_activation(done);
}

void ControlLink::end_activation(const Status& done) {
    wire::SnapshotApplied answer{};
    answer.sequence = activating_->sequence;
    answer.version = activating_->version;
    if (!done.ok()) {
        answer.error = EINVAL;
        std::strncpy(answer.reason, done.error().message.c_str(), sizeof(answer.reason) - 1);
    }
    next_.reset();
    activating_.reset();
    if (is_answer_wanted_) send(wire::EdgeMessage::SnapshotApplied, answer);
    begin_activation();
}

void ControlLink::activate_last() {
    if (runtime_.segment.snapshot_version != 0) return;
    Result<NextSnapshot> last = read_last_snapshot(runtime_.segment, folders_);
    if (!last.ok()) return;
    put_snapshot(runtime_.segment, *last, held_);
    wait_for_workers();
}

void ControlLink::hold(const wire::HoldRequest& request) {
    wire::HoldApplied answer{request.sequence, request.service, 0};
    Segment& segment = runtime_.segment;
    for (std::uint32_t i = 0; i < segment.service_count; ++i) {
        ServiceEntry& entry = segment.services[i];
        if (entry.is_used == 0 || entry.id != request.service) continue;
        entry.holds = answer.on = request.on != 0 ? 1 : 0;
    }
    if (request.on != 0) {
        held_.insert(request.service);
    } else {
        held_.erase(request.service);
    }
    wait_for_workers();
    report(Patience::UntilSent);  // What is under way by now is all that will be.
    send(wire::EdgeMessage::HoldApplied, answer);
}

void ControlLink::share(std::string_view body) {
    wire::SharesHeader header{};
    if (body.size() < sizeof(header)) return drop();
    std::memcpy(&header, body.data(), sizeof(header));
    body.remove_prefix(sizeof(header));
    if (body.size() != std::size_t{header.count} * sizeof(wire::ServiceShares)) return drop();
    std::vector<wire::ServiceShares> said(header.count);
    if (!body.empty()) std::memcpy(said.data(), body.data(), body.size());
    if (!are_well_formed(said)) return drop();
    shares_ = std::move(said);
    put_shares(runtime_.segment, *shares_);
    wait_for_workers();
    send(wire::EdgeMessage::SharesApplied, wire::SharesApplied{header.sequence});
}

void ControlLink::cut(const wire::CutRequest& request) {
    wire::CutDone answer{request.sequence, request.at, 0, 0};
    runtime_.cut = request.at;
    wait_for_workers();
    runtime_.cut = {kNone, 0};
    for (const std::unique_ptr<Worker>& worker : runtime_.workers)
        answer.cut += worker->cut_count();
    report(Patience::UntilSent);
    send(wire::EdgeMessage::CutDone, answer);
}

void ControlLink::tell_why(const wire::WhyRequest& request) {
    if (request.digits < wire::kWhyDigitsMin || request.digits > 32) return drop();
    runtime_.asked = request;
    wait_for_workers();
    runtime_.asked = {};
    send_frame(find_requests(runtime_, request));
}

void ControlLink::inject(const wire::FaultRequest& request) {
    wire::FaultApplied answer{request.sequence, request.terms.id, 0, {}};
    Leases& leases = runtime_.segment.leases;
    const Result<std::uint32_t> place = admit_lease(leases, request.terms, now_ns());
    if (!place.ok()) {
        answer.error = place.error().code == Code::Overload ? ENOSPC : EINVAL;
        std::strncpy(answer.reason, place.error().message.c_str(), sizeof(answer.reason) - 1);
    } else if (*place != kNoLease) {
        forget_fault(*place);
        put_lease(leases, *place, request.terms, now_ns());
    }
    wait_for_workers();
    report(Patience::UntilSent);
    send(wire::EdgeMessage::FaultApplied, answer);
}

// Once this returns no worker reads what stood there, nor counts it.
void ControlLink::forget_fault(std::uint32_t place) {
    forget_lease(runtime_.segment.leases, place);
    wait_for_workers();
    for (WorkerCounters& counters : runtime_.segment.counters)
        counters.leases[place].matched = counters.leases[place].hurt = 0;
}

void ControlLink::drain(const wire::DrainRequest& request) {
    if (request.at.slot >= wire::kSlotsMax || request.within_ns < 0 ||
        request.within_ns > wire::kDrainNsMax)
        return drop();
    runtime_.drain = request;
    wait_for_workers();
    runtime_.drain.at = {kNone, 0};
    send(wire::EdgeMessage::DrainApplied, wire::DrainApplied{request.sequence, request.at});
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
        // Our own bit stays as long as it is the same instance; what control says of it is
        // control's.
        const bool is_same =
            entry.generation == change.at.generation && (entry.bits & wire::kBitGone) == 0;
        const std::uint32_t ours = is_same ? entry.bits & wire::kBitEdge : 0;
        const bool has_served = is_same && (entry.bits & ~std::uint32_t{wire::kBitEdge}) == 0;
        // Out first, in last: at no instant does a half-written entry serve.
        entry.bits = wire::kBitGone;
        FAULT_POINT("endpoint, out");
        entry.service = change.service;
        entry.release = change.release;
        entry.address = change.address;
        entry.port = change.port;
        entry.generation = change.at.generation;
        // A service's first ones all begin at once: then it makes no difference.
        if (!has_served) entry.since_ns = now_ns();
        entry.is_suspect = 0;
        entry.bits = (change.bits & ~std::uint32_t{wire::kBitEdge}) | ours;
    }
    for (std::uint32_t slot = 0; header.full != 0 && slot < wire::kSlotsMax; ++slot) {
        if (!named[slot]) segment.endpoints[slot].bits = wire::kBitGone;
    }
    FAULT_POINT("endpoints, not applied");
    wait_for_workers();
    FAULT_POINT("endpoints, not acknowledged");
    sequence_ = header.sequence;
    // First, so that nobody reads the acknowledgement beside an older count of what is in flight.
    report(Patience::UntilSent);
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
