// Which ports there have to be: one for each public port and one for each call, who answers at a
// public port that several share, and whether the edge has room for all of it. Pure: it reads the
// world and changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/result.h"
#include "control/world.h"

namespace thole::control {

constexpr std::uint32_t kPublicCaller = 0xffffffff;  // `caller` of a public port's row.

// Whether services that the manifest does not name any more are ended.
enum class Prune : std::uint8_t { No, Yes };

bool is_public(const Service& service);

// Services that share a port differ by host or path. Manifests that do not know of each other may
// want what cannot be shared; then each who came later stands alone, with those that can share
// with it.
class PublicPorts {
public:
    explicit PublicPorts(const World& world);

    // Who answers where this one does, itself among them, by their numbers in order. Only itself
    // where it is at no public port.
    std::vector<std::uint32_t> beside(std::uint32_t service) const;

private:
    using Port = std::pair<std::string, std::uint16_t>;           // Address, number.
    using Route = std::pair<std::string_view, std::string_view>;  // Host, path.

    struct Group {
        const std::vector<model::Network>* trust = nullptr;
        std::set<Route> routes;
        std::vector<std::uint32_t> services;
    };

    static bool join(Group& group, const Service& service);

    std::map<Port, std::vector<Group>> groups_;
    std::map<std::uint32_t, std::pair<Port, std::size_t>> places_;  // By service.
};

// The rows that are wanted, without their numbers; of a call the port is chosen later: 0.
std::vector<model::ListenerRow> wanted_listeners(const World& world);

// To find a row among many.
class ListenerRows {
public:
    void add(const model::ListenerRow& row);
    // One that is wanted with any port (0) is each of its service, caller and address.
    bool has(const model::ListenerRow& row) const;

private:
    using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>;

    std::map<Key, std::set<std::uint16_t>> ports_;
};

// What the manifest asks for, with all services that go on beside it: more than the edge can take
// in is refused here, before anything is changed.
Status check_room(const World& world, const model::Manifest& next, Prune others);

}  // namespace thole::control
