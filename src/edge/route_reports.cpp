#include "edge/route_reports.h"

#include <algorithm>
#include <bit>

#include "edge/latency.h"
#include "edge/rows.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kRoundNs = 1'000'000'000;
// Of one turn; with all their durations they fit one frame.
constexpr std::size_t kRoutesPage = 128;
static_assert(kRoutesPage * wire::kTimedOutcomes * sizeof(wire::RouteDurations) <
              wire::kFrameBodyBytesMax - sizeof(wire::RoutesHeader));

}  // namespace

void RouteReports::begin() {
    told_.clear();
    is_under_way_ = false;
    is_first_ = true;
}

void RouteReports::begin_round(std::int64_t now_ns) {
    is_under_way_ = true;
    began_ns_ = now_ns;
    at_ = 0;
    ++round_;
    places_.clear();
    for (WorkerCounters& counters : segment_.counters) {
        for (std::uint32_t word = 0; word < kRoutesMax / 64; ++word) {
            std::uint64_t bits = counters.routes_used[word].load(std::memory_order_acquire);
            for (; bits != 0; bits &= bits - 1) {
                const std::uint32_t place =
                    word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
                RouteCounters& route = counters.routes[place];
                if (route.is_used.load(std::memory_order_acquire) == 0) continue;
                places_.push_back({{route.listener, route.release, route.slot},
                                   &route,
                                   &counters.route_latencies[place]});
            }
        }
    }
    std::sort(places_.begin(), places_.end(),
              [](const Place& one, const Place& other) { return one.key < other.key; });
    part_with_gone(now_ns);
}

void RouteReports::part_with_gone(std::int64_t now_ns) {
    bool has_releases = false;
    for (auto first = places_.begin(); first != places_.end();) {
        std::int64_t used_ns = 0;
        auto last = first;
        for (; last != places_.end() && last->key[0] == first->key[0] &&
               last->key[1] == first->key[1];
             ++last)
            used_ns = std::max(used_ns, last->route->used_ns.load(std::memory_order_relaxed));
        bool has_gone = now_ns - used_ns >= kRouteIdleNs && first->key[0] != 0;
        if (has_gone && !std::exchange(has_releases, true)) find_releases();
        has_gone = has_gone && !is_served(first->key);
        for (; first != last; ++first)
            first->route->has_gone.store(has_gone ? 1 : 0, std::memory_order_relaxed);
    }
    std::erase_if(places_, [](const Place& place) {
        return place.route->has_gone.load(std::memory_order_relaxed) != 0;
    });
}

void RouteReports::find_releases() {
    releases_.clear();
    for (const EndpointEntry& entry : segment_.endpoints) {
        if (entry.generation != 0 && (entry.bits & wire::kBitGone) == 0)
            releases_.insert({entry.service, entry.release});
    }
}

bool RouteReports::is_served(const Key& key) const {
    for (std::uint32_t i = 0; i < segment_.listener_count; ++i) {
        const ListenerEntry& listener = segment_.listeners[i];
        if (listener.id != key[0]) continue;
        const AllRoutes& routes = segment_.routes[segment_.routes_now];
        const ListenerRoutes& of = routes.of[i];
        if (key[1] == 0 || releases_.contains({of.usual.id, key[1]})) return true;
        const Route* const first = routes.table.routes + of.first;
        return std::any_of(first, first + of.count, [&](const Route& route) {
            return releases_.contains({route.to.id, key[1]});
        });
    }
    return false;
}

namespace {

void add_troubles(const RouteCounters& route, wire::RouteStats& sum) {
    sum.retried += route.retried.load(std::memory_order_relaxed);
    sum.held += route.held.load(std::memory_order_relaxed);
    sum.added_wait_max_us =
        std::max(sum.added_wait_max_us, route.added_wait_max_us.load(std::memory_order_relaxed));
}

}  // namespace

// Whoever sees a count sees the duration that was counted with it; so the counts are read first.
std::size_t RouteReports::add_route(std::size_t at, Page& page) {
    const Key key = places_[at].key;
    wire::RouteStats sum{key[0], key[1], key[2], 0, {}, 0, 0, 0};
    std::size_t end = at;
    for (; end < places_.size() && places_[end].key == key; ++end) {
        for (std::uint32_t i = 0; i < wire::kOutcomes; ++i)
            sum.outcomes[i] += places_[end].route->outcomes[i].load(std::memory_order_acquire);
    }
    for (std::size_t place = at; place < end; ++place) add_troubles(*places_[place].route, sum);
    std::uint64_t requests = 0;
    for (const std::uint64_t count : sum.outcomes) requests += count;
    const auto told = told_.find(key);
    if (told != told_.end()) told->second.round = round_;
    if (told != told_.end() && told->second.requests == requests) return end;
    for (std::uint32_t i = 0; i < wire::kTimedOutcomes; ++i) {
        // Memory that nothing was counted in is not touched.
        if (sum.outcomes[i] == 0) continue;
        wire::RouteDurations durations{key[0], key[1], key[2], static_cast<wire::Outcome>(i),
                                       0,      {}};
        for (std::size_t place = at; place < end; ++place) {
            const RouteCounters& route = *places_[place].route;
            if (route.outcomes[i].load(std::memory_order_relaxed) == 0) continue;
            durations.sum_ns += route.latency_sum_ns[i].load(std::memory_order_relaxed);
            fold(places_[place].latencies->of[i], durations.counts);
        }
        page.durations.push_back(durations);
    }
    page.routes.push_back(sum);
    page.told.emplace_back(key, requests);
    return end;
}

// What was told and is not there any more.
void RouteReports::add_gone(Page& page) {
    for (const auto& [key, told] : told_) {
        if (page.routes.size() == kRoutesPage) return;
        if (told.round != round_)
            page.routes.push_back({key[0], key[1], key[2], wire::kRouteGone, {}, 0, 0, 0});
    }
}

void RouteReports::send_some(std::int64_t now_ns, const Send& send) {
    if (!is_under_way_) {
        if (!is_first_ && now_ns - began_ns_ < kRoundNs) return;
        begin_round(now_ns);
    }
    Page page;
    std::size_t at = at_;
    while (at < places_.size() && page.routes.size() < kRoutesPage) at = add_route(at, page);
    if (at == places_.size()) add_gone(page);
    const bool is_last = at == places_.size() && page.routes.size() < kRoutesPage;
    const std::uint64_t epoch = segment_.epoch.load();
    wire::RoutesHeader header{epoch, static_cast<std::uint32_t>(page.durations.size()), 1};
    if (!page.durations.empty() &&
        !send(frame_of(wire::EdgeMessage::Durations, header, page.durations)))
        return;
    header = {epoch, static_cast<std::uint32_t>(page.routes.size()), is_last ? 0U : 1U};
    const bool has_news = !page.routes.empty() || is_first_;
    if (has_news && !send(frame_of(wire::EdgeMessage::Routes, header, page.routes))) return;
    for (const auto& [key, requests] : page.told) told_[key] = {requests, round_};
    for (const wire::RouteStats& row : page.routes) {
        if ((row.flags & wire::kRouteGone) != 0) told_.erase({row.listener, row.release, row.slot});
    }
    at_ = at;
    if (!is_last) return;
    is_under_way_ = false;
    is_first_ = false;
}

}  // namespace thole::edge
