// What the edge has counted of each route, as it told last. They are totals of memory that outlives
// both of us, so that none falls because somebody died: a new control, and one that hears a new
// edge, shows what it knew until all has been told again.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "wire/edge.h"
#include "wire/refusal.h"

namespace thole::control {

struct DurationTotals {
    std::uint64_t sum_ns = 0;
    std::array<std::uint64_t, wire::kDurationBuckets> counts{};
};

struct RouteTotals {
    std::array<std::uint64_t, wire::kOutcomes> outcomes{};
    std::array<DurationTotals, wire::kTimedOutcomes> durations{};

    void add(const RouteTotals& other);
};

// Who was refused, by which rule.
struct RefusalAt {
    wire::RefusalKind kind = wire::RefusalKind::Request;
    std::uint32_t listener = 0;
    std::uint32_t service = 0;  // wire::kNoSlot: not known.
    std::string rule;

    auto operator<=>(const RefusalAt&) const = default;
};

class EdgeTotals {
public:
    using Key = std::array<std::uint32_t, 3>;  // Listener, release, slot.

    // An edge is there that will tell all.
    void begin();
    void hear(const std::vector<wire::RouteDurations>& rows);
    void hear(const wire::RoutesHeader& header, const std::vector<wire::RouteStats>& rows);
    void hear_refusals(const wire::RefusalsHeader& header,
                       const std::vector<wire::RefusalStats>& rows);

    // An edge has told all that it knows; false in the first moments of a control.
    bool is_whole() const { return is_whole_; }
    const std::map<Key, RouteTotals>& routes() const { return routes_; }
    const std::map<RefusalAt, std::uint64_t>& refusals() const { return refusals_; }

private:
    RouteTotals* at(const Key& key);

    std::map<Key, RouteTotals> routes_;
    std::map<Key, RouteTotals> next_;  // Until all has been told.
    std::map<RefusalAt, std::uint64_t> refusals_, next_refusals_;
    bool is_next_ = true;
    bool is_next_refusals_ = true;
    bool is_whole_ = false;
};

}  // namespace thole::control
