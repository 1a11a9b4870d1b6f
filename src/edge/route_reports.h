// What the edge tells control of its routes: counts and durations, summed over the workers. A round
// begins at most once a second and is told in pages, one a turn, so that thousands of routes hold
// up nobody; only those that counted something since. Main's own; reads what the workers write.
//
// It decides, too, which routes have gone: those whose release has no endpoint any more, or whose
// listener is not served, and of which nothing was counted for kRouteIdleNs. All routes of one
// listener and release go together: their sum never falls while it is told.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "edge/segment.h"
#include "wire/edge.h"

namespace thole::edge {

class RouteReports {
public:
    // False where it cannot be sent now; then it is said again later.
    using Send = std::function<bool(const std::string& frame)>;

    explicit RouteReports(Segment& segment) : segment_(segment) {}

    // Somebody new listens, who knows nothing yet.
    void begin();
    // At most one page.
    void send_some(std::int64_t now_ns, const Send& send);

private:
    using Key = std::array<std::uint32_t, 3>;  // Listener, release, slot.
    struct Place {
        Key key;
        RouteCounters* route;
        const RouteLatencies* latencies;
    };
    struct Told {
        std::uint64_t requests = 0;
        std::uint64_t round = 0;  // In which it was there last.
    };
    struct Page {
        std::vector<wire::RouteStats> routes;
        std::vector<wire::RouteDurations> durations;
        std::vector<std::pair<Key, std::uint64_t>> told;
    };
    void begin_round(std::int64_t now_ns);
    void part_with_gone(std::int64_t now_ns);
    bool is_served(const Key& key) const;
    void find_releases();
    std::size_t add_route(std::size_t at, Page& page);
    void add_gone(Page& page);

    Segment& segment_;
    std::vector<Place> places_;  // Of this round, by key.
    std::size_t at_ = 0;
    std::map<Key, Told> told_;
    std::set<std::pair<std::uint32_t, std::uint32_t>> releases_;  // Service, release: of endpoints.
    std::uint64_t round_ = 0;
    std::int64_t began_ns_ = 0;
    bool is_under_way_ = false;
    bool is_first_ = true;
};

}  // namespace thole::edge
