#include "control/edge_totals.h"

#include <cstring>

#include <algorithm>
#include <utility>

namespace thole::control {
namespace {

// As many as an edge has places for; so that no edge makes us larger.
constexpr std::size_t kRoutesKept = 8192;
constexpr std::size_t kRefusalsKept = 4096;

}  // namespace

void RouteTotals::add(const RouteTotals& other) {
    for (std::size_t i = 0; i < outcomes.size(); ++i) outcomes[i] += other.outcomes[i];
    for (std::size_t i = 0; i < durations.size(); ++i) {
        durations[i].sum_ns += other.durations[i].sum_ns;
        for (std::size_t at = 0; at < durations[i].counts.size(); ++at)
            durations[i].counts[at] += other.durations[i].counts[at];
    }
}

void EdgeTotals::begin() {
    next_.clear();
    next_refusals_.clear();
    is_next_ = is_next_refusals_ = true;
}

// Nothing where there is no room for another.
RouteTotals* EdgeTotals::at(const Key& key) {
    std::map<Key, RouteTotals>& routes = is_next_ ? next_ : routes_;
    const auto found = routes.find(key);
    if (found != routes.end()) return &found->second;
    return routes.size() < kRoutesKept ? &routes[key] : nullptr;
}

void EdgeTotals::hear(const std::vector<wire::RouteDurations>& rows) {
    for (const wire::RouteDurations& row : rows) {
        const auto outcome = static_cast<std::size_t>(row.outcome);
        if (outcome >= wire::kTimedOutcomes) continue;
        RouteTotals* const totals = at({row.listener, row.release, row.slot});
        if (totals == nullptr) continue;
        totals->durations[outcome].sum_ns = row.sum_ns;
        std::copy(std::begin(row.counts), std::end(row.counts),
                  totals->durations[outcome].counts.begin());
    }
}

void EdgeTotals::hear(const wire::RoutesHeader& header, const std::vector<wire::RouteStats>& rows) {
    for (const wire::RouteStats& row : rows) {
        const Key key{row.listener, row.release, row.slot};
        if ((row.flags & wire::kRouteGone) != 0) {
            (is_next_ ? next_ : routes_).erase(key);
        } else if (RouteTotals* const totals = at(key); totals != nullptr) {
            std::copy(std::begin(row.outcomes), std::end(row.outcomes), totals->outcomes.begin());
        }
    }
    if (header.more != 0 || !is_next_) return;
    routes_ = std::exchange(next_, {});
    is_next_ = false;
    is_whole_ = true;
}

void EdgeTotals::hear_refusals(const wire::RefusalsHeader& header,
                               const std::vector<wire::RefusalStats>& rows) {
    std::map<RefusalAt, std::uint64_t>& refusals = is_next_refusals_ ? next_refusals_ : refusals_;
    for (const wire::RefusalStats& row : rows) {
        if (static_cast<std::uint32_t>(row.kind) >= wire::kRefusalKinds) continue;
        const std::string rule(row.rule, ::strnlen(row.rule, wire::kRuleIdMax));
        const RefusalAt at{row.kind, row.listener, row.service, rule};
        if (refusals.size() < kRefusalsKept || refusals.contains(at)) refusals[at] = row.count;
    }
    if (header.more != 0 || !is_next_refusals_) return;
    refusals_ = std::exchange(next_refusals_, {});
    is_next_refusals_ = false;
}

}  // namespace thole::control
