#include "edge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "wire/frame.h"

namespace thole::simulation {
namespace {

using namespace std::chrono_literals;
using wire::EdgeMessage;

constexpr std::size_t kInFlightPage = 16;  // Small, so that there are pages.
constexpr std::size_t kSnapshotBytesMax = 1024 * 1024;

template <typename Header, typename Row>
std::string body_of(const Header& header, const std::vector<Row>& rows) {
    std::string body(reinterpret_cast<const char*>(&header), sizeof(header));
    body.append(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(Row));
    return body;
}

}  // namespace

SimEdge::SimEdge(sim::SimHost& host, Story& story, EdgeSettings settings)
    : host_(host),
      story_(story),
      settings_(std::move(settings)),
      requests_(host.loop(), settings_.attached) {}

void SimEdge::begin() {
    process_ = &host_.process("edge");
    ++epoch_;
    story_.tell("the edge begins");
    workers_ = {table_, table_};
    stopped_.clear();
    late_.clear();
    sequence_ = 0;
    for (std::size_t i = 0; i < kEdgeWorkers; ++i) requests_.attach_waiting(i, workers_[i]);
    auto listening = process_->network().listen_link(
        settings_.run + "/edge.sock",
        [this](std::unique_ptr<env::Link> link) { accept(std::move(link)); });
    CHECK(listening.ok());
    listening_ = std::move(*listening);
    beat();
}

void SimEdge::kill() {
    if (!is_alive()) return;
    story_.tell("the edge is killed");
    process_->kill();
    control_.reset();
    coming_.reset();
    gone_.clear();
    listening_.reset();
    is_busy_ = false;
    applied_ = nullptr;
}

// One control at a time: a new link replaces the old, once what that asked for is done.
void SimEdge::accept(std::unique_ptr<env::Link> link) {
    if (coming_ != nullptr) gone_.push_back(std::move(coming_));
    coming_ = std::make_unique<Control>();
    coming_->link = std::move(link);
    Control* const control = coming_.get();
    control->link->set_events({.received =
                                   [this, control](std::string_view datagram) {
                                       control->inbox.emplace_back(datagram);
                                       if (control == control_.get()) take_next();
                                   },
                               .closed = [control](const Error&) { control->is_greeted = false; }});
    if (!is_busy_) welcome_the_next();
}

void SimEdge::welcome_the_next() {
    if (coming_ == nullptr) return;
    if (control_ != nullptr) gone_.push_back(std::move(control_));
    control_ = std::move(coming_);
}

void SimEdge::take_next() {
    while (!is_busy_ && !control_->inbox.empty()) {
        const std::string datagram = std::move(control_->inbox.front());
        control_->inbox.pop_front();
        obey(datagram);
    }
}

template <typename Message>
void SimEdge::send(EdgeMessage type, const Message& message) {
    control_->link->send(wire::seal_message(type, message));
}

void SimEdge::obey(std::string_view datagram) {
    const std::optional<wire::Frame> frame = wire::open_frame(datagram);
    if (!frame) return story_.fail("the edge was sent something that is no frame");
    switch (static_cast<EdgeMessage>(frame->type)) {
        case EdgeMessage::Hello:
            if (const auto hello = wire::read_message<wire::HelloToEdge>(frame->body))
                return welcome(*hello);
            break;
        case EdgeMessage::Snapshot:
            if (const auto request = wire::read_message<wire::SnapshotRequest>(frame->body))
                return activate(*request);
            break;
        case EdgeMessage::Endpoints: return change_endpoints(frame->body);
        case EdgeMessage::Hold:
            if (const auto request = wire::read_message<wire::HoldRequest>(frame->body))
                return hold(*request);
            break;
        case EdgeMessage::Cut:
            if (const auto request = wire::read_message<wire::CutRequest>(frame->body))
                return cut(*request);
            break;
        case EdgeMessage::Why:
            if (const auto request = wire::read_message<wire::WhyRequest>(frame->body))
                return tell_why(*request);
            break;
        case EdgeMessage::Fault:
            if (const auto request = wire::read_message<wire::FaultRequest>(frame->body))
                return inject(*request);
            break;
        case EdgeMessage::Drain:
            // Nothing lasts here.
            if (const auto request = wire::read_message<wire::DrainRequest>(frame->body)) {
                const wire::DrainApplied answer{request->sequence, request->at};
                return when_applied([this, answer] { send(EdgeMessage::DrainApplied, answer); });
            }
            break;
        default: break;
    }
    story_.fail(fmt::format("the edge does not know message {}", frame->type));
}

void SimEdge::welcome(const wire::HelloToEdge& hello) {
    wire::Welcome welcome{};
    welcome.version = 1;
    welcome.pid = process_->pid();
    welcome.epoch = epoch_;
    welcome.snapshot_version = snapshot_.version;
    welcome.endpoints_sequence = sequence_;
    welcome.workers = static_cast<std::uint32_t>(workers_.size());
    send(EdgeMessage::Welcome, welcome);
    control_->is_greeted = true;
    control_->wants_routes = (hello.wants & wire::kWantsRoutes) != 0;
    requests_.forget_what_was_told();
    has_told_faults_ = false;
    for (const auto& [slot, row] : table_) requests_.changed(id_of(row.at));
    report();
}

void SimEdge::activate(const wire::SnapshotRequest& request) {
    const Result<std::string> bytes = process_->env().files.read(
        fmt::format("{}/edge/snapshot.{}", settings_.data, request.version), kSnapshotBytesMax);
    wire::SnapshotApplied answer{};
    answer.sequence = request.sequence;
    answer.version = request.version;
    Result<wire::Snapshot> read = bytes ? wire::read_snapshot(*bytes) : bytes.error();
    if (!read) {
        answer.error = EINVAL;
        story_.tell("snapshot refused: " + read.error().message);
    } else {
        snapshot_ = std::move(*read);
    }
    when_applied([this, answer] { send(EdgeMessage::SnapshotApplied, answer); });
}

void SimEdge::change_endpoints(std::string_view body) {
    wire::EndpointsHeader header{};
    if (body.size() < sizeof(header)) return story_.fail("Endpoints are cut short");
    std::memcpy(&header, body.data(), sizeof(header));
    body.remove_prefix(sizeof(header));
    if (body.size() != header.count * sizeof(wire::EndpointChange))
        return story_.fail("Endpoints are cut short");
    std::set<std::uint32_t> named;
    for (std::uint32_t i = 0; i < header.count; ++i) {
        wire::EndpointChange change{};
        std::memcpy(&change, body.data() + i * sizeof(change), sizeof(change));
        named.insert(change.at.slot);
        table_[change.at.slot] = change;
        requests_.changed(id_of(change.at));
        if (change.bits == 0) routed_.insert(id_of(change.at));
        story_.tell(fmt::format("endpoint {}.{}: bits {}", change.at.slot, change.at.generation,
                                change.bits));
    }
    for (auto& [slot, row] : table_) {
        if (header.full == 0 || named.contains(slot)) continue;
        if ((row.bits & wire::kBitGone) == 0) settings_.gone(id_of(row.at));
        row.bits = wire::kBitGone;
        requests_.changed(id_of(row.at));
    }
    when_applied([this, sequence = header.sequence] {
        sequence_ = sequence;
        report();
        acknowledge(sequence);
    });
}

void SimEdge::when_applied(std::function<void()> act) {
    is_busy_ = true;
    applied_ = std::move(act);
    waiting_for_ = static_cast<int>(workers_.size());
    for (std::size_t i = 0; i < workers_.size(); ++i) {
        const bool is_slow = host_.loop().random().chance(0.1);
        const Duration after = host_.loop().draw({10us, is_slow ? Duration(400ms) : 5ms});
        apply_[i] = process_->env().timers.after(after, [this, i] { apply(i); });
    }
}

void SimEdge::apply(std::size_t worker) {
    if (stopped_.contains(worker)) {
        late_.insert(worker);
        return;
    }
    workers_[worker] = table_;
    requests_.attach_waiting(worker, table_);
    if (--waiting_for_ > 0) return;
    const std::function<void()> applied = std::move(applied_);
    applied();
    is_busy_ = false;
    welcome_the_next();
    take_next();
}

void SimEdge::continue_worker(std::size_t worker) {
    stopped_.erase(worker);
    if (late_.erase(worker) != 0) apply(worker);
}

void SimEdge::acknowledge(std::uint64_t sequence) {
    const std::vector<wire::InFlight> all = requests_.in_flight_elsewhere(table_);
    for (const auto& [slot, row] : table_) {
        if ((row.bits & wire::kBitControl) != 0) acknowledged_.insert(id_of(row.at));
    }
    std::size_t at = 0;
    do {
        const std::size_t count = std::min(kInFlightPage, all.size() - at);
        const wire::EndpointsAppliedHeader header{sequence, static_cast<std::uint32_t>(count),
                                                  at + count < all.size() ? 1U : 0U};
        const auto from = all.begin() + static_cast<std::ptrdiff_t>(at);
        const std::vector<wire::InFlight> page(from, from + static_cast<std::ptrdiff_t>(count));
        control_->link->send(wire::seal(static_cast<std::uint16_t>(EdgeMessage::EndpointsApplied),
                                        body_of(header, page)));
        at += count;
    } while (at < all.size());
}

void SimEdge::tell_why(const wire::WhyRequest& asked) {
    const std::vector<wire::RequestRecord> found = requests_.find(asked);
    wire::WhyHeader header{};
    header.sequence = asked.sequence;
    header.now = nanoseconds_of(host_.loop().now());
    header.count = static_cast<std::uint32_t>(found.size());
    control_->link->send(
        wire::seal(static_cast<std::uint16_t>(EdgeMessage::Found), body_of(header, found)));
}

void SimEdge::hold(const wire::HoldRequest& request) {
    wire::HoldApplied answer{request.sequence, request.service, 0};
    for (const wire::SnapshotService& service : snapshot_.services) {
        if (service.id == request.service) answer.on = request.on;
    }
    requests_.set_hold(request.service, request.on != 0);
    when_applied([this, answer] {
        report();
        send(EdgeMessage::HoldApplied, answer);
    });
}

void SimEdge::cut(const wire::CutRequest& request) {
    const EndpointId at = id_of(request.at);
    cut_.insert(at);
    const std::uint32_t count = requests_.end_all(at, wire::Outcome::Cut);
    const wire::CutDone answer{request.sequence, request.at, count, 0};
    story_.tell(fmt::format("{}.{}: {} requests are cut", at.first, at.second, answer.cut));
    when_applied([this, answer] {
        report();
        send(EdgeMessage::CutDone, answer);
    });
}

// They hurt nobody here; what control hears of them is as in the field.
void SimEdge::inject(const wire::FaultRequest& request) {
    const std::int64_t now = nanoseconds_of(host_.loop().now());
    const wire::FaultTerms& terms = request.terms;
    if (const auto known = faults_.find(terms.id); known != faults_.end()) {
        std::int64_t& until = known->second.terms.until;
        until = std::min(until, std::max(now, terms.until));
    } else if (terms.until > now) {
        faults_[terms.id] = {terms, now, 0, 0};
    }
    has_told_faults_ = false;
    when_applied([this, answer = wire::FaultApplied{request.sequence, terms.id, 0, {}}] {
        report();
        send(EdgeMessage::FaultApplied, answer);
    });
}

void SimEdge::report() {
    if (control_ == nullptr || !control_->is_greeted) return;
    const auto tell = [this](EdgeMessage type, const auto& header, const auto& rows) {
        control_->link->send(wire::seal(static_cast<std::uint16_t>(type), body_of(header, rows)));
    };
    const std::vector<wire::EndpointStats> rows = requests_.take_changes(table_);
    wire::StatsHeader header{};
    header.epoch = epoch_;
    header.time = nanoseconds_of(host_.loop().now());
    header.count = static_cast<std::uint32_t>(rows.size());
    requests_.fill(header);
    tell(EdgeMessage::Stats, header, rows);
    for (auto broken = requests_.take_broken(); !broken.empty(); broken = requests_.take_broken()) {
        const auto count = static_cast<std::uint32_t>(broken.size());
        tell(EdgeMessage::Broken, wire::BrokenHeader{epoch_, count, 0}, broken);
    }
    if (!std::exchange(has_told_faults_, true)) {
        std::vector<wire::FaultState> all;
        for (const auto& [id, fault] : faults_) all.push_back(fault);
        const auto count = static_cast<std::uint32_t>(all.size());
        tell(EdgeMessage::Faults, wire::FaultsHeader{epoch_, header.time, count, 0}, all);
        control_->link->send(
            wire::seal_message(EdgeMessage::Queued, wire::QueuedCount{epoch_, 0, 0}));
        tell(EdgeMessage::Refusals, wire::RefusalsHeader{epoch_, 0, 0},
             std::vector<wire::RefusalStats>{});
    }
    if (!control_->wants_routes) return;
    if (const std::vector<wire::RouteDurations> durations = requests_.durations();
        !durations.empty()) {
        const auto count = static_cast<std::uint32_t>(durations.size());
        tell(EdgeMessage::Durations, wire::RoutesHeader{epoch_, count, 1}, durations);
    }
    const std::vector<wire::RouteStats> routes = requests_.routes();
    const auto count = static_cast<std::uint32_t>(routes.size());
    tell(EdgeMessage::Routes, wire::RoutesHeader{epoch_, count, 0}, routes);
}

void SimEdge::beat() {
    gone_.clear();
    requests_.end_overdue(snapshot_);
    if (!is_busy_) report();
    beat_ = process_->env().timers.after(100ms, [this] { beat(); });
}

std::size_t SimEdge::next_worker() {
    do { worker_ = (worker_ + 1) % kEdgeWorkers; } while (stopped_.contains(worker_));
    return worker_;
}

std::uint64_t SimEdge::ask(std::uint32_t service, Asked asked) {
    if (!is_alive()) return 0;
    if (asked.worker == kEdgeWorkers) asked.worker = next_worker();
    const EndpointTable& table = workers_[asked.worker];
    return requests_.begin(service, std::move(asked), {table, snapshot_});
}

bool SimEdge::serves(EndpointId at) const {
    if (!is_alive()) return serves_in(table_, at);
    return std::all_of(workers_.begin(), workers_.end(),
                       [&](const EndpointTable& table) { return serves_in(table, at); });
}

bool SimEdge::is_taken_out(EndpointId at) const {
    const auto found = table_.find(at.first);
    return is_acknowledged(at) || (found != table_.end() && id_of(found->second.at) == at &&
                                   (found->second.bits & wire::kBitControl) != 0);
}

std::size_t SimEdge::serving_least(const std::vector<EndpointId>& endpoints) const {
    const auto count = [&](const EndpointTable& table) {
        return static_cast<std::size_t>(
            std::count_if(endpoints.begin(), endpoints.end(),
                          [&](EndpointId at) { return serves_in(table, at); }));
    };
    if (!is_alive()) return count(table_);
    std::size_t least = endpoints.size();
    for (const EndpointTable& table : workers_) least = std::min(least, count(table));
    return least;
}

}  // namespace thole::simulation
