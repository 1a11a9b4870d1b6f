// Faults on purpose end by themselves where a service with an `slo` burns its budget: the one that
// they hurt, or one that calls it, directly or by others. By the counts of the edge: how requests
// ended, once a second where one did, and whom faults hurt, ten times a second where they hurt
// another one. Where control is dead meanwhile, a fault ends at its time.
#include <fmt/format.h>

#include <algorithm>

#include "control/control.h"
#include "control/ports.h"

namespace thole::control {
namespace {

// Answers of these never were an instance's, and are its callers' loss all the same.
constexpr wire::Outcome kFailed[] = {wire::Outcome::ServerError, wire::Outcome::ConnectFailed,
                                     wire::Outcome::Reset,       wire::Outcome::TimedOut,
                                     wire::Outcome::Overloaded,  wire::Outcome::Cut};

bool is_on(const wire::FaultState& fault, std::int64_t now_ns) {
    return now_ns < fault.terms.until;
}

// Whoever it hurts gets no good answer.
bool fails_requests(const wire::FaultTerms& terms) {
    switch (terms.kind) {
        case wire::FaultKind::Abort: return terms.status >= 500;
        case wire::FaultKind::Reset:
        case wire::FaultKind::Hang:
        case wire::FaultKind::Partition: return true;
        case wire::FaultKind::Delay:
        case wire::FaultKind::SlowBody:
        case wire::FaultKind::Bandwidth:
        case wire::FaultKind::Count_: break;
    }
    return false;
}

// It, and whom it calls, directly or by others.
std::set<std::uint32_t> stands_on(World& world, const model::Manifest& manifest,
                                  const Service& service) {
    std::set<std::uint32_t> found{service.row.id};
    std::vector<std::string> left{service.row.name};
    while (!left.empty()) {
        const model::ServiceSpec* const spec = find_spec(manifest, left.back());
        left.pop_back();
        if (spec == nullptr) continue;
        for (const std::string& name : spec->calls) {
            const Service* const called = find_service(world, name);
            if (called != nullptr && found.insert(called->row.id).second) left.push_back(name);
        }
    }
    return found;
}

}  // namespace

// What an instance had counts for its service; what none had, where its port is of one service
// alone. What faults ended is counted by them, at their beginning.
std::map<std::uint32_t, Served> Control::served() {
    std::map<std::uint32_t, Served> all;
    const PublicPorts ports(world_);
    for (const auto& [key, totals] : world_.edge_totals.routes()) {
        const auto slot = world_.slots.find(key[2]);
        const auto listener = world_.listeners.find(key[0]);
        std::uint32_t service = 0;
        if (slot != world_.slots.end()) {
            service = slot->second.row.service;
        } else if (listener != world_.listeners.end() &&
                   services_at(ports, listener->second).size() == 1) {
            service = listener->second.service;
        }
        Served& served = all[service];
        for (std::uint32_t at = 0; at < wire::kOutcomes; ++at) {
            const auto outcome = static_cast<wire::Outcome>(at);
            const bool is_failed =
                std::find(std::begin(kFailed), std::end(kFailed), outcome) != std::end(kFailed);
            if (outcome != wire::Outcome::Injected) served.asked += totals.outcomes[at];
            if (is_failed) served.failed += totals.outcomes[at];
        }
    }
    for (const wire::FaultState& fault : world_.faults) {
        if (!fails_requests(fault.terms)) continue;
        all[fault.terms.service].asked += fault.hurt;
        all[fault.terms.service].failed += fault.hurt;
    }
    return all;
}

void Control::watch_budgets() {
    const Time now = env_.clock.now();
    const std::int64_t now_ns = nanoseconds_of(now);
    const model::Manifest* const manifest = applied(world_);
    const bool are_some = std::any_of(world_.faults.begin(), world_.faults.end(),
                                      [&](const auto& fault) { return is_on(fault, now_ns); });
    if (!are_some || manifest == nullptr) return burning_.clear();
    std::map<std::uint32_t, Served> totals = served();
    for (const model::ServiceSpec& spec : manifest->services) {
        const Service* const service = find_service(world_, spec.name);
        if (service == nullptr || spec.failures_allowed == 0) continue;
        Burning& burning = burning_[service->row.id];
        burning.look(now, totals[service->row.id]);
        const std::optional<Burn> burn = burning.burn(spec.failures_allowed);
        if (!burn) continue;
        const std::set<std::uint32_t> hurts = stands_on(world_, *manifest, *service);
        for (const wire::FaultState& fault : world_.faults) {
            const bool has_part = is_on(fault, now_ns) && hurts.contains(fault.terms.service);
            if (!has_part) continue;
            // Until the edge says that it is over it is asked for again.
            wire::FaultTerms end{};
            end.id = fault.terms.id;
            const std::string why =
                fmt::format("{} {}", spec.name, words_of(*burn, spec.failures_allowed));
            edge_->inject(end, [this, id = end.id, why](const Status& done) {
                if (done.ok()) world_.fault_ends.try_emplace(id, why);
            });
        }
    }
}

}  // namespace thole::control
