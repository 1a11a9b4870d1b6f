#include "control/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <map>

#include "base/parse.h"
#include "control/metrics_table.h"

namespace thole::control {
namespace {

constexpr std::uint32_t kFromOutside = 0xffffffff;
constexpr const char* kRoleNames[] = {"keeper", "watch", "control", "edge", "telemetry"};
constexpr std::string_view kOutcomeNames[] = {
    "informational",  "success", "redirect",  "client_error", "server_error",
    "connect_failed", "reset",   "timed_out", "overloaded",   "refused",
    "client_gone",    "cut",     "injected"};
static_assert(std::size(kOutcomeNames) == wire::kOutcomes);

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

std::string name_of(const World& world, std::uint32_t service) {
    const auto found = world.services.find(service);
    return found == world.services.end() ? std::string() : found->second.row.name;
}

// Service, caller, route and release.
using RouteLabels = std::array<std::string, 4>;

// Nothing where control does not know the listener: it is closed, and nobody asks there. The
// service is the listener's where none is known.
std::optional<RouteLabels> labels_of(const World& world, std::uint32_t listener,
                                     std::optional<std::uint32_t> known) {
    if (listener == 0) return RouteLabels{"", "", "other", ""};
    const auto row = world.listeners.find(listener);
    if (row == world.listeners.end()) return std::nullopt;
    const std::uint32_t service = known.value_or(row->second.service);
    const bool is_public = row->second.caller == kFromOutside;
    const std::uint32_t ip = row->second.address;
    return RouteLabels{name_of(world, service),
                       is_public ? std::string() : name_of(world, row->second.caller),
                       is_public ? fmt::format("{}.{}.{}.{}:{}", ip >> 24, ip >> 16 & 255,
                                               ip >> 8 & 255, ip & 255, row->second.port)
                                 : "call",
                       std::string()};
}

std::optional<RouteLabels> labels_of(const World& world, const EdgeTotals::Key& key) {
    const auto& [listener, release, slot] = key;
    // A public port may have been another service's before; a slot is one service's for good.
    const auto place = world.slots.find(slot);
    auto labels = labels_of(
        world, listener,
        place == world.slots.end() ? std::nullopt : std::optional(place->second.row.service));
    if (labels && listener != 0 && release != 0) labels->back() = fmt::format("{}", release);
    return labels;
}

void write_routes(Exposition& to, const World& world) {
    std::map<RouteLabels, RouteTotals> routes;
    for (const auto& [key, totals] : world.edge_totals.routes()) {
        if (const auto labels = labels_of(world, key)) routes[*labels].add(totals);
    }
    to.begin(metrics::kEdgeRequests);
    for (const auto& [labels, totals] : routes) {
        const auto& [service, caller, route, release] = labels;
        for (std::size_t i = 0; i < wire::kOutcomes; ++i) {
            if (totals.outcomes[i] != 0)
                to.sample({service, caller, route, release, kOutcomeNames[i]}, totals.outcomes[i]);
        }
    }
    to.begin(metrics::kEdgeDurations);
    for (const auto& [labels, totals] : routes) {
        const auto& [service, caller, route, release] = labels;
        for (std::size_t i = 0; i < wire::kTimedOutcomes; ++i) {
            const DurationTotals& durations = totals.durations[i];
            if (durations.counts == DurationTotals{}.counts) continue;
            to.histogram({service, caller, route, release, kOutcomeNames[i]},
                         wire::kDurationBoundsUs, durations.counts,
                         static_cast<double>(durations.sum_ns) / 1e9);
        }
    }
}

void write_refusals(Exposition& to, const World& world) {
    using Labels = std::array<std::string, 5>;  // Service, caller, route, rule, side.
    std::map<Labels, std::uint64_t> refused, reported;
    for (const auto& [at, count] : world.edge_totals.refusals()) {
        const auto labels =
            labels_of(world, at.listener,
                      at.service == wire::kNoSlot ? std::nullopt : std::optional(at.service));
        if (!labels) continue;
        const auto& [service, caller, route, release] = *labels;
        const bool is_reported = at.kind == wire::RefusalKind::Reported;
        const std::string side = at.kind == wire::RefusalKind::Answer ? "answer" : "request";
        (is_reported ? reported : refused)[{service, caller, route, at.rule, side}] += count;
    }
    to.begin(metrics::kEdgeRefused);
    for (const auto& [labels, count] : refused) {
        const auto& [service, caller, route, rule, side] = labels;
        to.sample({service, caller, route, side, rule}, count);
    }
    to.begin(metrics::kEdgeReported);
    for (const auto& [labels, count] : reported) {
        const auto& [service, caller, route, rule, side] = labels;
        to.sample({service, caller, route, rule}, count);
    }
}

void write_edge(Exposition& to, const World& world, const MetricsSaid& said) {
    write_routes(to, world);
    write_refusals(to, world);
    std::map<std::pair<std::string, std::uint32_t>, std::uint64_t> in_flight;
    for (const auto& [slot, instance] : world.instances)
        in_flight[{name_of(world, instance.service), instance.version.release}] +=
            instance.stats.in_flight;
    to.begin(metrics::kEdgeInFlight);
    for (const auto& [at, count] : in_flight)
        to.sample({at.first, fmt::format("{}", at.second)}, count);
    const auto one = [&to](const Metric& metric, auto value) {
        to.begin(metric);
        to.sample({}, value);
    };
    one(metrics::kEdgeWaiting, std::uint64_t{world.traffic.held});
    one(metrics::kEdgeQueued, std::uint64_t{world.queued});
    one(metrics::kEdgeHolds, world.traffic.held_ever);
    one(metrics::kEdgeReplays, world.traffic.replayed_ever);
    one(metrics::kEdgeDiverted, world.traffic.diverted_ever);
    one(metrics::kEdgeBroken, world.traffic.broken_ever);
    one(metrics::kEdgeAccessDropped, world.traffic.access_dropped);
    one(metrics::kEdgeAddedWait, static_cast<double>(world.traffic.added_wait_max_ns) / 1e9);
    one(metrics::kEdgeEpoch, world.edge.epoch);
    one(metrics::kEdgeUp, std::uint64_t{said.is_edge_there ? 1U : 0U});
}

void write_services(Exposition& to, World& world) {
    struct Counts {
        std::uint64_t serving = 0;
        std::uint64_t all = 0;
        std::uint64_t wanted = 0;
        std::uint64_t starts = 0;
        std::uint64_t restarts = 0;
    };
    std::map<std::string, Counts> services;
    for (const auto& [id, service] : world.services) {
        if (!service.row.is_removed)
            services[service.row.name].wanted =
                static_cast<std::uint64_t>(std::max(0, count_of(world, service)));
    }
    for (const auto& [slot, instance] : world.instances) {
        Counts& counts = services[name_of(world, instance.service)];
        ++counts.all;
        if (instance.stage == model::Stage::Ready) ++counts.serving;
    }
    for (const auto& [number, slot] : world.slots) {
        const auto counts = services.find(name_of(world, slot.row.service));
        if (counts == services.end() || slot.row.is_build) continue;
        counts->second.starts += slot.row.generation;
        counts->second.restarts += static_cast<std::uint64_t>(slot.restarts);
    }
    const auto all = [&](const Metric& metric, std::uint64_t Counts::*count) {
        to.begin(metric);
        for (const auto& [name, counts] : services) to.sample({name}, counts.*count);
    };
    all(metrics::kServing, &Counts::serving);
    all(metrics::kInstances, &Counts::all);
    all(metrics::kWanted, &Counts::wanted);
    all(metrics::kStarts, &Counts::starts);
    all(metrics::kRestarts, &Counts::restarts);
}

void write_thole(Exposition& to, const World& world, const MetricsSaid& said) {
    to.begin(metrics::kRoleStarts);
    to.sample({kRoleNames[0]}, world.keeper.keepers);
    for (const auto& [role, state] : world.roles) {
        if (role != 0 && role < std::size(kRoleNames))
            to.sample({kRoleNames[role]}, std::uint64_t{state.starts});
    }
    to.begin(metrics::kTurns);
    to.sample({}, said.turns);
    to.begin(metrics::kTurnLate);
    to.sample({}, seconds_of(said.turn_late_max));
    to.begin(metrics::kManifestsRefused);
    to.sample({}, world.manifests_refused);
    to.begin(metrics::kSnapshotsRefused);
    to.sample({}, world.snapshots_refused);
    to.begin(metrics::kTimeline);
    to.sample({}, static_cast<std::uint64_t>(said.timeline_entries));
    to.begin(metrics::kBuildInfo);
    to.sample({said.version}, std::uint64_t{1});
    if (!said.self) return;
    to.begin(metrics::kCpu);
    to.sample({}, said.self->cpu_s);
    to.begin(metrics::kMemory);
    to.sample({}, said.self->resident_bytes);
    to.begin(metrics::kDescriptors);
    to.sample({}, said.self->descriptors);
}

// The number after blanks, which go, too.
std::optional<std::int64_t> take_number(std::string_view& rest) {
    rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(" \t")));
    const std::string_view word = rest.substr(0, rest.find_first_of(" \t\n"));
    rest.remove_prefix(word.size());
    const Result<std::int64_t> number = parse_integer(word, 0, std::int64_t{1} << 62);
    return number ? std::optional(*number) : std::nullopt;
}

}  // namespace

std::optional<ProcessUse> read_process_use(std::string_view stat, std::string_view status) {
    // The name, in parentheses, may hold anything; utime and stime are fields 14 and 15.
    const std::size_t name_end = stat.rfind(')');
    const std::size_t resident = status.find("\nVmRSS:");
    if (name_end == std::string_view::npos || resident == std::string_view::npos)
        return std::nullopt;
    std::string_view rest = stat.substr(name_end + 1);
    for (int field = 3; field < 14; ++field) {
        rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(' ')));
        rest.remove_prefix(std::min(rest.size(), rest.find(' ')));
    }
    const auto user = take_number(rest);
    const auto system = take_number(rest);
    std::string_view memory = status.substr(resident + std::string_view("\nVmRSS:").size());
    const auto kibibytes = take_number(memory);
    if (!user || !system || !kibibytes) return std::nullopt;
    return ProcessUse{
        .cpu_s = static_cast<double>(*user + *system) / static_cast<double>(::sysconf(_SC_CLK_TCK)),
        .resident_bytes = static_cast<std::uint64_t>(*kibibytes) * 1024};
}

std::string metrics_text(World& world, const MetricsSaid& said, MetricsForm form) {
    Exposition to(form);
    write_edge(to, world, said);
    write_services(to, world);
    write_thole(to, world, said);
    return to.take();
}

}  // namespace thole::control
