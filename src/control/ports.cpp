#include "control/ports.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/defaults.h"

namespace thole::control {
namespace {

constexpr std::uint32_t kLoopback = 0x7f000001;

// "127.0.0.1", which the manifest's reader has checked.
std::uint32_t parse_ip(std::string_view text) {
    std::uint32_t ip = 0;
    std::uint32_t part = 0;
    for (const char c : text) {
        if (c == '.') {
            ip = (ip << 8) | part;
            part = 0;
        } else {
            part = part * 10 + static_cast<std::uint32_t>(c - '0');
        }
    }
    return (ip << 8) | part;
}

struct Demand {
    std::size_t services = 0;
    std::size_t ports = 0;
    std::size_t routes = 0;

    void add(const model::ServiceSpec& spec) {
        ++services;
        ports += spec.calls.size() + (spec.at_public ? 1 : 0);
        if (spec.at_public) routes += std::max<std::size_t>(spec.at_public->hosts.size(), 1);
    }
};

Status check(std::string_view what, std::size_t has, int most, bool has_others) {
    if (has <= static_cast<std::size_t>(most)) return success();
    Error error =
        invalid(fmt::format("{} {} in all, and the edge has room for {}", has, what, most));
    return has_others ? std::move(error).with_hint("thole up --prune") : std::move(error);
}

}  // namespace

bool is_public(const Service& service) { return service.spec.at_public && !service.row.is_removed; }

PublicPorts::PublicPorts(const World& world) {
    for (const auto& [id, service] : world.services) {
        if (!is_public(service)) continue;
        const Port port{service.spec.at_public->bind, service.spec.at_public->port};
        std::vector<Group>& groups = groups_[port];
        auto group = std::find_if(groups.begin(), groups.end(),
                                  [&, &one = service](Group& each) { return join(each, one); });
        if (group == groups.end()) {
            group = groups.emplace(groups.end());
            join(*group, service);
        }
        group->services.push_back(id);
        places_[id] = {port, static_cast<std::size_t>(group - groups.begin())};
    }
}

// Whether it could.
bool PublicPorts::join(Group& group, const Service& service) {
    const model::PublicSpec& spec = *service.spec.at_public;
    if (group.trust != nullptr && *group.trust != spec.trust) return false;
    std::vector<Route> routes;
    for (const std::string& host : spec.hosts) routes.emplace_back(host, spec.path);
    if (routes.empty()) routes.emplace_back("", spec.path);
    if (std::any_of(routes.begin(), routes.end(),
                    [&](const Route& route) { return group.routes.contains(route); }))
        return false;
    group.trust = &spec.trust;
    group.routes.insert(routes.begin(), routes.end());
    return true;
}

std::vector<std::uint32_t> PublicPorts::beside(std::uint32_t service) const {
    const auto place = places_.find(service);
    if (place == places_.end()) return {service};
    const auto& [port, group] = place->second;
    return groups_.at(port)[group].services;
}

std::vector<model::ListenerRow> wanted_listeners(const World& world) {
    const PublicPorts ports(world);
    std::map<std::string_view, std::uint32_t> known;
    for (const auto& [id, service] : world.services) known.emplace(service.row.name, id);
    std::vector<model::ListenerRow> wanted;
    for (const auto& [id, service] : world.services) {
        if (is_public(service) && ports.beside(id).front() == id)
            wanted.push_back({0, id, kPublicCaller, parse_ip(service.spec.at_public->bind),
                              service.spec.at_public->port});
        // A release that still runs goes on calling whom its successor does not know any more.
        std::set<std::string> calls;
        for (const model::ServiceSpec* const spec : specs_in_use(world, service))
            calls.insert(spec->calls.begin(), spec->calls.end());
        for (const std::string& name : calls) {
            if (const auto callee = known.find(name); callee != known.end())
                wanted.push_back({0, callee->second, id, kLoopback, 0});
        }
    }
    return wanted;
}

void ListenerRows::add(const model::ListenerRow& row) {
    ports_[{row.service, row.caller, row.address}].insert(row.port);
}

bool ListenerRows::has(const model::ListenerRow& row) const {
    const auto found = ports_.find({row.service, row.caller, row.address});
    if (found == ports_.end()) return false;
    return row.port == 0 || found->second.contains(0) || found->second.contains(row.port);
}

Status check_room(const World& world, const model::Manifest& next, Prune others) {
    Demand demand;
    for (const model::ServiceSpec& spec : next.services) demand.add(spec);
    const std::size_t own = demand.services;
    for (const auto& [id, service] : world.services) {
        const bool goes_on = others == Prune::No && !service.row.is_removed &&
                             find_spec(next, service.row.name) == nullptr;
        if (goes_on) demand.add(service.spec);
    }
    const bool has_others = demand.services > own;
    TRY(check("services", demand.services, model::kServicesMax, has_others));
    TRY(check("public ports and calls", demand.ports, model::kPortsMax, has_others));
    return check("hosts and paths", demand.routes, model::kRoutesMax, has_others);
}

}  // namespace thole::control
