#include "control.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "wire/frame.h"

namespace thole::contract {
namespace {

using wire::EdgeMessage;

template <typename Header, typename Row>
std::vector<Row> read_rows(std::string_view body, Header& header) {
    if (body.size() < sizeof(Header)) {
        ADD_FAILURE() << "a message of " << body.size() << " bytes is cut short";
        return {};
    }
    std::memcpy(&header, body.data(), sizeof(Header));
    body.remove_prefix(sizeof(Header));
    std::vector<Row> rows(body.size() / sizeof(Row));
    if (header.count != rows.size() || body.size() % sizeof(Row) != 0) {
        ADD_FAILURE() << header.count << " rows are said, and " << body.size() << " bytes come";
        return {};
    }
    if (!rows.empty()) std::memcpy(rows.data(), body.data(), body.size());
    return rows;
}

template <typename Message>
void keep(std::string_view body, std::vector<Message>& all) {
    if (const auto message = wire::read_message<Message>(body)) {
        all.push_back(*message);
    } else {
        ADD_FAILURE() << "a message of " << body.size() << " bytes has another size";
    }
}

template <typename Message>
std::optional<Message> of_sequence(const std::vector<Message>& all, std::uint64_t sequence) {
    for (const Message& each : all) {
        if (each.sequence == sequence) return each;
    }
    return std::nullopt;
}

}  // namespace

void Control::open_link() {
    heard.clear();
    welcome.reset();
    acknowledgements.clear();
    stats.clear();
    broken.clear();
    routes.clear();
    durations.clear();
    has_all_routes = false;
    faults.reset();
    pages_.clear();
    header = {};
    is_closed = false;
    link_ = stand_.env().network.connect_link(stand_.run_folder() + "/edge.sock");
    link_->set_events({.received = [this](std::string_view datagram) { receive(datagram); },
                       .closed = [this](const Error&) { is_closed = true; }});
    link_->send(
        wire::seal_message(EdgeMessage::Hello, wire::HelloToEdge{1, wire::kWantsRoutes, {}}));
}

bool Control::connect() {
    const Time deadline = stand_.env().clock.now() + kSoon;
    do {
        open_link();
        stand_.until([this] { return welcome || is_closed; }, kSoon);
    } while (!welcome && stand_.env().clock.now() < deadline);
    return welcome.has_value();
}

std::uint64_t Control::say_endpoints(const std::vector<wire::EndpointChange>& changes,
                                     Table table) {
    const wire::EndpointsHeader said{++sequence_, static_cast<std::uint32_t>(changes.size()),
                                     table == Table::All ? 1U : 0U};
    std::string body(reinterpret_cast<const char*>(&said), sizeof(said));
    body.append(reinterpret_cast<const char*>(changes.data()),
                changes.size() * sizeof(wire::EndpointChange));
    link_->send(wire::seal(static_cast<std::uint16_t>(EdgeMessage::Endpoints), body));
    return said.sequence;
}

std::uint64_t Control::say_endpoints_as(std::uint64_t sequence,
                                        const std::vector<wire::EndpointChange>& changes) {
    const std::uint64_t own = std::exchange(sequence_, sequence - 1);
    say_endpoints(changes);
    sequence_ = std::max(own, sequence);
    return sequence;
}

std::uint64_t Control::say_snapshot(std::uint64_t version) {
    link_->send(
        wire::seal_message(EdgeMessage::Snapshot, wire::SnapshotRequest{++sequence_, version}));
    return sequence_;
}

std::uint64_t Control::say_hold(std::uint32_t on) {
    link_->send(
        wire::seal_message(EdgeMessage::Hold, wire::HoldRequest{++sequence_, kService, on}));
    return sequence_;
}

std::uint64_t Control::say_fault(std::uint32_t id, std::int64_t until) {
    wire::FaultRequest request{};
    request.sequence = ++sequence_;
    request.terms.id = id;
    request.terms.service = kService;
    request.terms.caller = wire::kAnyCaller - 1;  // Nobody: it hurts no request of this test.
    request.terms.kind = wire::FaultKind::Reset;
    request.terms.share = 100;
    request.terms.until = until;
    link_->send(wire::seal_message(EdgeMessage::Fault, request));
    return sequence_;
}

std::uint64_t Control::say_cut(wire::SlotRef at) {
    link_->send(wire::seal_message(EdgeMessage::Cut, wire::CutRequest{++sequence_, at}));
    return sequence_;
}

void Control::write_snapshot_bytes(std::uint64_t version, const std::string& bytes) {
    env::Files& files = stand_.env().files;
    const std::string folder = stand_.data_folder() + "/edge";
    ASSERT_TRUE(files.make_folder(folder, 0700).ok());
    ASSERT_TRUE(files
                    .replace(fmt::format("{}/snapshot.{}", folder, version), bytes,
                             env::Durability::None, 0600)
                    .ok());
}

void Control::write_snapshot(std::uint64_t version, const wire::SnapshotLimits& limits) {
    wire::Snapshot snapshot;
    snapshot.version = version;
    snapshot.services.push_back({kService, "shop", limits, {}, wire::kAnyUpgrade});
    snapshot.listeners.push_back({.id = kListener, .service = kService});
    write_snapshot_bytes(version, wire::write_snapshot(snapshot));
}

std::optional<Acknowledgement> Control::apply(const std::vector<wire::EndpointChange>& changes,
                                              Table table) {
    const std::uint64_t sequence = say_endpoints(changes, table);
    stand_.until([&] { return acknowledgement_of(sequence) != nullptr; }, kSoon);
    return of_sequence(acknowledgements, sequence);
}

std::optional<wire::SnapshotApplied> Control::activate(std::uint64_t version,
                                                       const wire::SnapshotLimits& limits) {
    write_snapshot(version, limits);
    const std::uint64_t sequence = say_snapshot(version);
    stand_.until([&] { return of_sequence(snapshots, sequence).has_value(); }, kSoon);
    return of_sequence(snapshots, sequence);
}

std::optional<wire::DrainApplied> Control::drain(wire::SlotRef at, std::int64_t within_ns) {
    link_->send(
        wire::seal_message(EdgeMessage::Drain, wire::DrainRequest{++sequence_, at, within_ns}));
    const std::uint64_t sequence = sequence_;
    stand_.until([&] { return of_sequence(drains, sequence).has_value(); }, kSoon);
    return of_sequence(drains, sequence);
}

std::optional<wire::CutDone> Control::cut(wire::SlotRef at) {
    const std::uint64_t sequence = say_cut(at);
    stand_.until([&] { return of_sequence(cuts, sequence).has_value(); }, kSoon);
    return of_sequence(cuts, sequence);
}

const Acknowledgement* Control::acknowledgement_of(std::uint64_t sequence) const {
    for (const Acknowledgement& each : acknowledgements) {
        if (each.sequence == sequence) return &each;
    }
    return nullptr;
}

void Control::receive(std::string_view datagram) {
    const std::optional<wire::Frame> frame = wire::open_frame(datagram);
    if (!frame) {
        ADD_FAILURE() << "the edge said something that is no frame";
        return;
    }
    heard.push_back(static_cast<EdgeMessage>(frame->type));
    hear(heard.back(), frame->body);
}

void Control::hear(EdgeMessage type, std::string_view body) {
    switch (type) {
        case EdgeMessage::Welcome:
            welcome = wire::read_message<wire::Welcome>(body);
            if (welcome) sequence_ = std::max(sequence_, welcome->endpoints_sequence);
            return;
        case EdgeMessage::SnapshotApplied: return keep(body, snapshots);
        case EdgeMessage::HoldApplied: return keep(body, holds);
        case EdgeMessage::CutDone: return keep(body, cuts);
        case EdgeMessage::FaultApplied: return keep(body, faults_applied);
        case EdgeMessage::Faults: {
            wire::FaultsHeader said{};
            faults = read_rows<wire::FaultsHeader, wire::FaultState>(body, said);
            return;
        }
        case EdgeMessage::DrainApplied: return keep(body, drains);
        case EdgeMessage::EndpointsApplied: return hear_applied(body);
        case EdgeMessage::Stats:
            for (const wire::EndpointStats& row :
                 read_rows<wire::StatsHeader, wire::EndpointStats>(body, header))
                stats[id_of(row.at)] = row;
            return;
        case EdgeMessage::Broken: {
            wire::BrokenHeader said{};
            const auto rows = read_rows<wire::BrokenHeader, wire::BrokenRequest>(body, said);
            broken.insert(broken.end(), rows.begin(), rows.end());
            lost = said.lost;
            return;
        }
        case EdgeMessage::Routes: {
            wire::RoutesHeader said{};
            for (const wire::RouteStats& row :
                 read_rows<wire::RoutesHeader, wire::RouteStats>(body, said))
                routes[{row.listener, row.release, row.slot}] = row;
            has_all_routes = has_all_routes || said.more == 0;
            return;
        }
        case EdgeMessage::Durations: {
            wire::RoutesHeader said{};
            for (const wire::RouteDurations& row :
                 read_rows<wire::RoutesHeader, wire::RouteDurations>(body, said))
                durations[{row.listener, row.release, row.slot,
                           static_cast<std::uint32_t>(row.outcome)}] = row;
            return;
        }
        case EdgeMessage::Refusals:
        case EdgeMessage::Queued: return;
        case EdgeMessage::Hello:
        case EdgeMessage::Snapshot:
        case EdgeMessage::Endpoints:
        case EdgeMessage::Hold:
        case EdgeMessage::Cut:
        case EdgeMessage::Why:
        case EdgeMessage::Found:
        case EdgeMessage::Fault:
        case EdgeMessage::Drain:
        case EdgeMessage::Shares:
        case EdgeMessage::SharesApplied:
        case EdgeMessage::Upgraded: break;
    }
    ADD_FAILURE() << "the edge said message " << static_cast<int>(type);
}

void Control::hear_applied(std::string_view body) {
    wire::EndpointsAppliedHeader said{};
    const auto rows = read_rows<wire::EndpointsAppliedHeader, wire::InFlight>(body, said);
    pages_.insert(pages_.end(), rows.begin(), rows.end());
    if (said.more != 0) return;
    Acknowledgement all{said.sequence, std::exchange(pages_, {}), {}};
    for (const auto& [at, row] : stats) all.counted_then[at] = row.in_flight;
    acknowledgements.push_back(std::move(all));
}

}  // namespace thole::contract
