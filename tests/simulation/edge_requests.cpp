#include "edge_requests.h"

#include <algorithm>

namespace thole::simulation {
namespace {

constexpr std::size_t kBrokenPage = 256;
constexpr EndpointId kNowhere{};

const wire::SnapshotLimits* limits_of(std::uint32_t service, const wire::Snapshot& snapshot) {
    for (const wire::SnapshotService& each : snapshot.services) {
        if (each.id == service) return &each.limits;
    }
    return nullptr;
}

}  // namespace

bool serves_in(const EndpointTable& table, EndpointId at) {
    const auto found = table.find(at.first);
    return found != table.end() && id_of(found->second.at) == at && found->second.bits == 0;
}

std::uint64_t EdgeRequests::begin(std::uint32_t service, Asked asked, const Known& known) {
    const std::uint64_t number = next_++;
    std::uint32_t listener = 0;
    for (const wire::SnapshotListener& each : known.snapshot.listeners) {
        if (each.service == service) listener = each.id;
    }
    requests_[number] = {service, listener, std::move(asked), loop_.now(), kNowhere, 0, {}};
    if (attach(number, known.table)) return number;
    if (may_wait(service, known.snapshot)) {
        ++held_ever_;
        requests_[number].was_held = true;
    } else {
        end(number, wire::Outcome::Overloaded);
    }
    return number;
}

// False where nothing serves.
bool EdgeRequests::attach(std::uint64_t number, const EndpointTable& table) {
    Request& request = requests_[number];
    std::vector<const wire::EndpointChange*> serving;
    for (const auto& [slot, row] : table) {
        if (row.service == request.service && row.bits == 0 && !lost_.contains(id_of(row.at)))
            serving.push_back(&row);
    }
    if (serving.empty() || holds_.contains(request.service)) return false;
    const wire::EndpointChange& chosen = *serving[loop_.random().below(serving.size())];
    request.at = id_of(chosen.at);
    request.release = chosen.release;
    request.attached = loop_.now();
    ++counts_[request.at].begun;
    changed(request.at);
    added_wait_max_ = std::max(added_wait_max_, loop_.now() - request.begun);
    if (request.asked.takes != kForever)
        loop_.schedule(request.asked.takes, {"answer", nullptr, [this, number] {
                                                 end(number, wire::Outcome::Success);
                                             }});
    if (request.asked.attached) request.asked.attached(number, request.at);
    attached_(request.at);
    return true;
}

// Those that wait now, the newest among them.
bool EdgeRequests::may_wait(std::uint32_t service, const wire::Snapshot& snapshot) const {
    const wire::SnapshotLimits* const limits = limits_of(service, snapshot);
    if (limits == nullptr) return false;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (const auto& [number, request] : requests_) {
        if (request.service != service || request.at != kNowhere) continue;
        ++count;
        bytes += request.asked.bytes;
    }
    return count <= limits->held_requests_max && bytes <= limits->held_bytes_max;
}

// Once, as its client sees it.
void EdgeRequests::end(std::uint64_t number, wire::Outcome outcome) {
    const auto found = requests_.find(number);
    if (found == requests_.end()) return;
    const Request request = std::move(found->second);
    requests_.erase(found);
    const auto place = static_cast<std::size_t>(outcome);
    const bool is_nowhere = request.at == kNowhere;
    const std::uint32_t slot = is_nowhere ? wire::kNoSlot : request.at.first;
    wire::RequestRecord record = record_of(number, request);
    record.outcome = static_cast<std::uint8_t>(outcome);
    record.flags &= ~std::uint32_t{wire::kRequestUnderWay};
    ended_.push_back(record);
    wire::RouteStats& route = routes_[{request.listener, request.release, slot}];
    ++route.outcomes[place];
    if (request.was_held) {
        ++route.held;
        route.added_wait_max_us = std::max<std::uint64_t>(route.added_wait_max_us, record.held_us);
    }
    if (place < wire::kTimedOutcomes) count_duration(request, slot, outcome);
    if (!is_nowhere) {
        ++counts_[request.at].outcomes[place];
        changed(request.at);
    }
    if (outcome == wire::Outcome::Reset || outcome == wire::Outcome::Cut) {
        wire::BrokenRequest broken{};
        broken.request = {0, number};
        broken.at = {request.at.first, request.at.second};
        broken.begun = nanoseconds_of(request.begun);
        broken.outcome = outcome;
        broken.listener = request.listener;
        broken_.push_back(broken);
    }
    if (request.asked.ended) request.asked.ended(outcome);
}

void EdgeRequests::count_duration(const Request& request, std::uint32_t slot,
                                  wire::Outcome outcome) {
    const auto took = static_cast<std::uint64_t>((loop_.now() - request.begun).count());
    wire::RouteDurations& row =
        durations_[{request.listener, request.release, slot, static_cast<std::uint32_t>(outcome)}];
    row.listener = request.listener;
    row.release = request.release;
    row.slot = slot;
    row.outcome = outcome;
    row.sum_ns += took;
    const auto* const bound = std::lower_bound(std::begin(wire::kDurationBoundsUs),
                                               std::end(wire::kDurationBoundsUs), took / 1000 + 1);
    ++row.counts[bound - std::begin(wire::kDurationBoundsUs)];
}

std::uint32_t EdgeRequests::end_all(EndpointId at, wire::Outcome outcome) {
    std::vector<std::uint64_t> there;
    for (const auto& [number, request] : requests_) {
        if (request.at == at) there.push_back(number);
    }
    for (const std::uint64_t number : there) end(number, outcome);
    changed(at);
    return static_cast<std::uint32_t>(there.size());
}

void EdgeRequests::lose(EndpointId at) {
    lost_.insert(at);
    end_all(at, wire::Outcome::Reset);
}

void EdgeRequests::set_hold(std::uint32_t service, bool is_on) {
    if (is_on) {
        holds_.insert(service);
    } else {
        holds_.erase(service);
    }
}

void EdgeRequests::attach_waiting(std::size_t worker, const EndpointTable& table) {
    for (const auto& [number, request] : requests_) {
        if (request.at == kNowhere && request.asked.worker == worker) attach(number, table);
    }
}

void EdgeRequests::end_overdue(const wire::Snapshot& snapshot) {
    std::vector<std::uint64_t> over;
    for (const auto& [number, request] : requests_) {
        const wire::SnapshotLimits* const limits = limits_of(request.service, snapshot);
        if (request.at == kNowhere && limits != nullptr &&
            loop_.now() - request.begun > limits->hold)
            over.push_back(number);
    }
    for (const std::uint64_t number : over) end(number, wire::Outcome::Overloaded);
}

EndpointId EdgeRequests::endpoint_of(std::uint64_t number) const {
    const auto found = requests_.find(number);
    return found == requests_.end() ? kNowhere : found->second.at;
}

std::uint32_t EdgeRequests::in_flight(EndpointId at) const {
    return static_cast<std::uint32_t>(
        std::count_if(requests_.begin(), requests_.end(),
                      [&](const auto& each) { return each.second.at == at; }));
}

std::uint32_t EdgeRequests::waiting(std::uint32_t service) const {
    return static_cast<std::uint32_t>(
        std::count_if(requests_.begin(), requests_.end(), [&](const auto& each) {
            return each.second.service == service && each.second.at == kNowhere;
        }));
}

std::vector<wire::InFlight> EdgeRequests::in_flight_elsewhere(const EndpointTable& table) const {
    std::vector<wire::InFlight> all;
    for (const auto& [number, request] : requests_) {
        if (request.at != kNowhere && !serves_in(table, request.at))
            all.push_back({{request.at.first, request.at.second}, {0, number}});
    }
    return all;
}

void EdgeRequests::forget_what_was_told() {
    for (const auto& [at, counts] : counts_) {
        if (counts.begun > 0) changed(at);
    }
    broken_told_ = 0;
}

std::vector<wire::EndpointStats> EdgeRequests::take_changes(const EndpointTable& table) {
    std::vector<wire::EndpointStats> rows;
    for (const EndpointId& at : std::exchange(unreported_, {})) {
        const Counts& counts = counts_[at];
        const auto found = table.find(at.first);
        const bool is_newest = found != table.end() && id_of(found->second.at) == at;
        wire::EndpointStats row{};
        row.at = {at.first, at.second};
        row.in_flight = in_flight(at);
        row.bits = is_newest ? found->second.bits : std::uint32_t{wire::kBitGone};
        row.begun = counts.begun;
        std::copy(counts.outcomes.begin(), counts.outcomes.end(), row.outcomes);
        rows.push_back(row);
    }
    return rows;
}

void EdgeRequests::fill(wire::StatsHeader& header) const {
    header.held = in_flight(kNowhere);
    header.held_ever = held_ever_;
    header.broken_ever = broken_.size();
    header.added_wait_max_ns = added_wait_max_.count();
}

// The next page of what control has not been told; none at the end.
std::vector<wire::BrokenRequest> EdgeRequests::take_broken() {
    const std::size_t count = std::min(kBrokenPage, broken_.size() - broken_told_);
    const auto first = broken_.begin() + static_cast<std::ptrdiff_t>(broken_told_);
    broken_told_ += count;
    return {first, first + static_cast<std::ptrdiff_t>(count)};
}

std::vector<wire::RouteStats> EdgeRequests::routes() const {
    std::vector<wire::RouteStats> rows;
    for (const auto& [route, stats] : routes_) {
        wire::RouteStats row = stats;
        row.listener = route[0];
        row.release = route[1];
        row.slot = route[2];
        rows.push_back(row);
    }
    return rows;
}

std::vector<wire::RouteDurations> EdgeRequests::durations() const {
    std::vector<wire::RouteDurations> rows;
    for (const auto& [key, row] : durations_) rows.push_back(row);
    return rows;
}

// As it stands: under way.
wire::RequestRecord EdgeRequests::record_of(std::uint64_t number, const Request& request) const {
    const bool is_waiting = request.at == kNowhere;
    wire::RequestRecord record{};
    record.id = {0, number};
    record.begun = nanoseconds_of(request.begun);
    record.ended = nanoseconds_of(loop_.now());
    record.held_us = static_cast<std::uint32_t>(
        ((is_waiting ? loop_.now() : request.attached) - request.begun).count() / 1000);
    record.listener = request.listener;
    record.service = request.service;
    record.release = request.release;
    record.at = {is_waiting ? wire::kNoSlot : request.at.first, request.at.second};
    record.outcome = static_cast<std::uint8_t>(wire::Outcome::Count_);
    record.phase = is_waiting ? wire::RequestPhase::Waiting : wire::RequestPhase::Asked;
    record.attempts = is_waiting ? 0 : 1;
    record.flags = wire::kRequestUnderWay | (request.was_held ? wire::kRequestHeld : 0U);
    return record;
}

std::vector<wire::RequestRecord> EdgeRequests::find(const wire::WhyRequest& asked) const {
    std::vector<wire::RequestRecord> found;
    for (const wire::RequestRecord& record : ended_) {
        if (wire::begins_with(record.id, asked)) found.push_back(record);
    }
    for (const auto& [number, request] : requests_) {
        if (wire::begins_with({0, number}, asked)) found.push_back(record_of(number, request));
    }
    return found;
}

}  // namespace thole::simulation
