#include "control/edge_client.h"

#include <algorithm>
#include <cstring>

#include "wire/frame.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kEdgeAgain = 20ms;
constexpr Duration kWhyLimit = 2s;  // A worker that hangs keeps the edge from answering.

// The header, then so many rows of one kind; nothing where the sizes do not agree.
template <typename Header, typename Row>
std::optional<std::pair<Header, std::vector<Row>>> read_rows(std::string_view body) {
    if (body.size() < sizeof(Header)) return std::nullopt;
    std::pair<Header, std::vector<Row>> read;
    std::memcpy(&read.first, body.data(), sizeof(Header));
    body.remove_prefix(sizeof(Header));
    if (body.size() != std::size_t{read.first.count} * sizeof(Row)) return std::nullopt;
    read.second.resize(read.first.count);
    if (!body.empty()) std::memcpy(read.second.data(), body.data(), body.size());
    return read;
}

}  // namespace

EdgeClient::EdgeClient(env::Env& env, std::string path, EdgeEvents events)
    : env_(env), path_(std::move(path)), events_(std::move(events)) {
    connect();
}

void EdgeClient::connect() {
    in_flight_.clear();
    link_ = env_.network.connect_link(path_);
    link_->set_events({.received = [this](std::string_view datagram) { received(datagram); },
                       .closed = [this](const Error&) { lost(); }});
    const wire::HelloToEdge hello{1, wire::kWantsRoutes, {}};
    link_->send(wire::seal_message(wire::EdgeMessage::Hello, hello));
}

void EdgeClient::lost() {
    const bool was_connected = std::exchange(is_connected_, false);
    give_up_faults();
    again_ = env_.timers.after(kEdgeAgain, [this] { connect(); });
    if (was_connected) events_.lost();
    while (!asked_.empty()) answer(asked_.begin()->first, std::nullopt);
}

void EdgeClient::begin() {
    if (std::exchange(has_begun_, true)) return;
    if (is_connected_) send_all();
}

// Nothing is left of what an earlier control, or this one to an earlier edge, has said.
void EdgeClient::send_all() {
    changed_.clear();
    std::vector<wire::EndpointChange> all;
    for (const auto& [slot, change] : table_) all.push_back(change);
    send_endpoints(all, 1);
}

std::uint64_t EdgeClient::set(const wire::EndpointChange& change) {
    table_[change.at.slot] = change;
    changed_.push_back(change.at.slot);
    // The one that flush() will use; or a later one, where everything is said again.
    return sequence_ + 1;
}

void EdgeClient::flush() {
    if (!is_connected_ || !has_begun_ || changed_.empty()) return;
    std::sort(changed_.begin(), changed_.end());
    changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
    std::vector<wire::EndpointChange> changes;
    for (const std::uint32_t slot : changed_) {
        if (const auto row = table_.find(slot); row != table_.end()) changes.push_back(row->second);
    }
    changed_.clear();
    if (!changes.empty()) send_endpoints(changes, 0);
}

void EdgeClient::send_endpoints(const std::vector<wire::EndpointChange>& changes,
                                std::uint32_t full) {
    wire::EndpointsHeader header{++sequence_, static_cast<std::uint32_t>(changes.size()), full};
    std::string body(reinterpret_cast<const char*>(&header), sizeof(header));
    body.append(reinterpret_cast<const char*>(changes.data()),
                changes.size() * sizeof(wire::EndpointChange));
    for (const wire::EndpointChange& change : changes) {
        if ((change.bits & wire::kBitGone) != 0) gone_[change.at.slot] = sequence_;
    }
    link_->send(wire::seal(static_cast<std::uint16_t>(wire::EdgeMessage::Endpoints), body));
}

void EdgeClient::activate(std::uint64_t version) {
    if (!is_connected_) return;
    link_->send(wire::seal_message(wire::EdgeMessage::Snapshot,
                                   wire::SnapshotRequest{++sequence_, version}));
}

void EdgeClient::cut(wire::SlotRef at) {
    if (is_connected_)
        link_->send(wire::seal_message(wire::EdgeMessage::Cut, wire::CutRequest{sequence_, at}));
}

void EdgeClient::why(wire::WhyRequest asked, std::function<void(std::optional<Found>)> told) {
    if (!is_connected_) return told(std::nullopt);
    asked.sequence = ++asked_last_;
    asked_[asked.sequence] = {std::move(told), env_.timers.after(kWhyLimit, [this, asked] {
                                  answer(asked.sequence, std::nullopt);
                              })};
    link_->send(wire::seal_message(wire::EdgeMessage::Why, asked));
}

// Nobody may wait for it any more.
void EdgeClient::answer(std::uint64_t sequence, std::optional<Found> found) {
    const auto waits = asked_.find(sequence);
    if (waits == asked_.end()) return;
    const auto told = std::move(waits->second.told);
    asked_.erase(waits);
    told(std::move(found));
}

void EdgeClient::hold(std::uint32_t service, HoldReasons reason) {
    set_reasons(service, holds_[service].reasons | reason);
}

void EdgeClient::let_go(std::uint32_t service, HoldReasons reason) {
    set_reasons(service, holds_[service].reasons & ~std::uint32_t{reason});
}

void EdgeClient::set_reasons(std::uint32_t service, std::uint32_t reasons) {
    Hold& hold = holds_[service];
    hold.reasons = reasons;
    if (is_connected_) send_hold(service, hold);
}

void EdgeClient::send_hold(std::uint32_t service, Hold& hold) {
    hold.said = ++sequence_;
    link_->send(
        wire::seal_message(wire::EdgeMessage::Hold,
                           wire::HoldRequest{hold.said, service, hold.reasons != 0 ? 1U : 0U}));
}

// The answer to what was said before that, or by an earlier control, is none.
void EdgeClient::obey_hold(const wire::HoldApplied& applied) {
    const auto found = holds_.find(applied.service);
    if (found == holds_.end() || found->second.said != applied.sequence) return;
    if (found->second.reasons == 0) holds_.erase(found);
    events_.hold_applied(applied.service);
}

void EdgeClient::share(std::vector<wire::ServiceShares> all) {
    shares_ = std::move(all);
    is_shared_ = false;
    if (is_connected_) send_shares();
}

void EdgeClient::send_shares() {
    is_shared_ = false;
    shares_said_ = ++sequence_;
    const wire::SharesHeader header{shares_said_, static_cast<std::uint32_t>(shares_.size()), 0};
    std::string body(reinterpret_cast<const char*>(&header), sizeof(header));
    body.append(reinterpret_cast<const char*>(shares_.data()),
                shares_.size() * sizeof(wire::ServiceShares));
    link_->send(wire::seal(static_cast<std::uint16_t>(wire::EdgeMessage::Shares), body));
}

// The answer to what was said before that is none.
void EdgeClient::obey_shares(const wire::SharesApplied& applied) {
    if (applied.sequence != shares_said_) return;
    is_shared_ = true;
    events_.shares_applied();
}

void EdgeClient::inject(const wire::FaultTerms& terms,
                        std::function<void(const Status&)> answered) {
    injecting_[++sequence_] = std::move(answered);
    if (!is_connected_) return give_up_faults();
    link_->send(wire::seal_message(wire::EdgeMessage::Fault, wire::FaultRequest{sequence_, terms}));
}

void EdgeClient::obey_fault(const wire::FaultApplied& applied) {
    const auto found = injecting_.find(applied.sequence);
    if (found == injecting_.end()) return;
    const auto answered = std::move(found->second);
    injecting_.erase(found);
    if (applied.error == 0) return answered(success());
    const std::string reason(applied.reason, ::strnlen(applied.reason, sizeof(applied.reason)));
    answered(conflict(reason).with_hint("thole help fault"));
}

// Whether the edge that is gone has heard of it cannot be known here; it tells itself which are on.
void EdgeClient::give_up_faults() {
    for (const auto& [sequence, answered] : std::exchange(injecting_, {}))
        answered(unavailable("the edge is just being replaced").with_hint("thole fault --list"));
}

void EdgeClient::drain(wire::SlotRef at, Duration within) {
    const std::int64_t within_ns = std::clamp<std::int64_t>(within.count(), 0, wire::kDrainNsMax);
    if (is_connected_)
        link_->send(wire::seal_message(wire::EdgeMessage::Drain,
                                       wire::DrainRequest{sequence_, at, within_ns}));
}

void EdgeClient::received(std::string_view datagram) {
    const std::optional<wire::Frame> frame = wire::open_frame(datagram);
    if (frame) obey(frame->type, frame->body);
}

void EdgeClient::obey(std::uint16_t type, std::string_view body) {
    switch (static_cast<wire::EdgeMessage>(type)) {
        case wire::EdgeMessage::Welcome:
            if (const auto welcome = wire::read_message<wire::Welcome>(body))
                obey_welcome(*welcome);
            return;
        case wire::EdgeMessage::SnapshotApplied:
            if (const auto applied = wire::read_message<wire::SnapshotApplied>(body))
                events_.snapshot_applied(*applied);
            return;
        case wire::EdgeMessage::EndpointsApplied: obey_applied(body); return;
        case wire::EdgeMessage::HoldApplied:
            if (const auto applied = wire::read_message<wire::HoldApplied>(body))
                obey_hold(*applied);
            return;
        case wire::EdgeMessage::SharesApplied:
            if (const auto applied = wire::read_message<wire::SharesApplied>(body))
                obey_shares(*applied);
            return;
        case wire::EdgeMessage::CutDone:
            if (const auto done = wire::read_message<wire::CutDone>(body)) events_.cut_done(*done);
            return;
        case wire::EdgeMessage::Stats: obey_stats(body); return;
        case wire::EdgeMessage::FaultApplied:
            if (const auto applied = wire::read_message<wire::FaultApplied>(body))
                obey_fault(*applied);
            return;
        case wire::EdgeMessage::Faults:
            if (auto rows = read_rows<wire::FaultsHeader, wire::FaultState>(body)) {
                std::erase_if(rows->second, [](const auto& row) { return !wire::is_sound(row); });
                events_.faults(rows->second);
            }
            return;
        case wire::EdgeMessage::Upgraded:
            if (const auto upgraded = wire::read_message<wire::Upgraded>(body))
                events_.upgraded(*upgraded);
            return;
        case wire::EdgeMessage::Broken:
            if (const auto rows = read_rows<wire::BrokenHeader, wire::BrokenRequest>(body))
                events_.broken(rows->first, rows->second);
            return;
        case wire::EdgeMessage::Queued:
            if (const auto count = wire::read_message<wire::QueuedCount>(body))
                events_.queued(*count);
            return;
        case wire::EdgeMessage::Routes:
            if (const auto rows = read_rows<wire::RoutesHeader, wire::RouteStats>(body))
                events_.routes(rows->first, rows->second);
            return;
        case wire::EdgeMessage::Refusals:
            if (const auto rows = read_rows<wire::RefusalsHeader, wire::RefusalStats>(body))
                events_.refusals(rows->first, rows->second);
            return;
        case wire::EdgeMessage::Durations:
            if (const auto rows = read_rows<wire::RoutesHeader, wire::RouteDurations>(body))
                events_.durations(rows->second);
            return;
        case wire::EdgeMessage::Found:
            if (auto rows = read_rows<wire::WhyHeader, wire::RequestRecord>(body))
                answer(rows->first.sequence, std::move(rows));
            return;
        default: return;
    }
}

void EdgeClient::obey_welcome(const wire::Welcome& welcome) {
    is_connected_ = true;
    // Another edge, or the same: all of the table, so that nothing is left from before.
    sequence_ = std::max(sequence_, welcome.endpoints_sequence);
    events_.connected(welcome);
    for (auto& [service, hold] : holds_) send_hold(service, hold);
    // One that may not know what shares are is told of none.
    if (!shares_.empty() || welcome.shared != 0) {
        send_shares();
    } else if (!std::exchange(is_shared_, true)) {
        events_.shares_applied();
    }
    if (has_begun_) send_all();
}

void EdgeClient::obey_applied(std::string_view body) {
    const auto rows = read_rows<wire::EndpointsAppliedHeader, wire::InFlight>(body);
    if (!rows) return;
    in_flight_.insert(in_flight_.end(), rows->second.begin(), rows->second.end());
    if (rows->first.more != 0) return;
    const std::vector<wire::InFlight> in_flight = std::move(in_flight_);
    in_flight_.clear();
    for (auto at = gone_.begin(); at != gone_.end();) {
        const auto row = table_.find(at->first);
        const bool is_over = at->second <= rows->first.sequence;
        if (is_over && row != table_.end() && (row->second.bits & wire::kBitGone) != 0)
            table_.erase(row);
        at = is_over ? gone_.erase(at) : std::next(at);
    }
    events_.applied(rows->first.sequence, in_flight);
}

void EdgeClient::obey_stats(std::string_view body) {
    if (const auto rows = read_rows<wire::StatsHeader, wire::EndpointStats>(body))
        events_.stats(rows->first, rows->second);
}

}  // namespace thole::control
