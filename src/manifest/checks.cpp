// What one key alone cannot tell.
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "manifest/public_side.h"
#include "manifest/service.h"

namespace thole::manifest {

namespace {

using model::PortUse;
using model::ServiceSpec;

class Checks {
public:
    Checks(std::span<const Draft> drafts, Findings& findings)
        : drafts_(drafts), findings_(findings) {
        for (const Draft& draft : drafts) {
            names_.push_back(draft.node->key);
            by_name_[draft.node->key] = &draft;
        }
    }

    void run() {
        for (const Draft& draft : drafts_) {
            check_calls(draft);
            check_environment(draft);
            check_copies(draft);
            check_without_port(draft);
        }
        // First those that users see, so that a finding stands at the service's own port.
        for (const Draft& draft : drafts_) {
            if (!draft.spec.at_public) continue;
            claim_public(draft);
        }
        for (const Draft& draft : drafts_) {
            if (draft.spec.port_use == PortUse::Fixed) claim_own(draft);
        }
    }

private:
    using Route = std::tuple<std::uint16_t, std::string, std::string>;  // Port, host, path.

    void check_calls(const Draft& draft) {
        const Node* calls = draft.node->find("calls");
        if (calls == nullptr) return;
        std::set<std::string_view> seen;
        for (const Node& item : calls->children) {
            if (item.kind == Node::Kind::Text) check_call(draft, item, seen);
        }
    }

    // Each call has a port of its own.
    void count_port(Place place) {
        if (++ports_wanted_ != model::kPortsMax + 1) return;
        findings_.add(place, fmt::format("more than {} public ports and calls", model::kPortsMax),
                      "remove calls that nobody makes, or make two systems of it");
    }

    void check_call(const Draft& draft, const Node& item, std::set<std::string_view>& seen) {
        count_port(item.place);
        const auto callee = by_name_.find(item.text);
        if (callee == by_name_.end()) {
            // To look for the nearest is dear where nobody would read it.
            findings_.add(item.place, fmt::format("there is no service {}", shown(item.text)),
                          findings_.is_full() ? "" : hint_of_nearest(item.text, names_));
        } else if (item.text == draft.spec.name) {
            findings_.add(item.place, fmt::format("{} calls itself", shown(item.text)),
                          "remove it; within one service no address is needed");
        } else if (!seen.insert(item.text).second) {
            findings_.add(item.place, fmt::format("{} stands here twice", shown(item.text)),
                          "remove one");
        } else if (callee->second->spec.port_use == PortUse::None) {
            findings_.add(item.place,
                          fmt::format("{} has port none: nobody can call it", shown(item.text)));
        }
    }

    void check_environment(const Draft& draft) {
        const Node* environment = draft.node->find("env");
        if (environment == nullptr || environment->kind != Node::Kind::Map) return;
        std::set<std::string> reserved = {"PORT", "HOST", "STATE_DIR"};
        for (const std::string& callee : draft.spec.calls) {
            reserved.insert(model::url_variable(callee));
        }
        for (const Node& child : environment->children) {
            if (reserved.count(child.key) == 0) continue;
            findings_.add(child.key_place,
                          fmt::format("the variable {} is set by thole", shown(child.key)),
                          "remove it");
        }
    }

    void check_copies(const Draft& draft) {
        if (!draft.spec.is_single() || draft.spec.scale == 1) return;
        const bool has_state = draft.spec.state_bytes > 0;
        findings_.add(
            draft.place_of("scale"),
            fmt::format("'scale' is {}, but a service with {} has one copy: two would share {}",
                        draft.spec.scale, has_state ? "'state'" : "a fixed 'port'",
                        has_state ? "its data" : "the port"),
            has_state ? "scale: 1" : "scale: 1, or listen on $PORT and remove 'port'");
    }

    void check_without_port(const Draft& draft) {
        if (draft.spec.port_use != PortUse::None) return;
        if (draft.spec.at_public) {
            findings_.add(draft.place_of("public"), "a service with port none cannot be public",
                          "remove one of the two");
        }
        const Node* health = draft.node->find("health");
        const Node* probe = health == nullptr ? nullptr : health->find("ready");
        if (probe != nullptr) {
            findings_.add(probe->key_place, "'ready' asks a port, and this service has port none",
                          "remove it");
        }
        if (draft.node->find("requests") != nullptr) {
            findings_.add(draft.place_of("requests"),
                          "'requests' says what happens at a port, and this service has port none",
                          "remove it");
        }
    }

    // On one machine a port has one listener, which several services share by host and path.
    void claim_public(const Draft& draft) {
        const model::PublicSpec& spec = *draft.spec.at_public;
        if (spec.port == 0) return count_port(draft.place_of("public"));  // There is a finding.
        const auto [first, is_new] = ports_.emplace(spec.port, &draft);
        if (is_new) {
            count_port(draft.place_of("public"));
        } else {
            check_agreement(draft, *first->second);
        }
        if (spec.hosts.empty()) claim_route(draft, "", draft.place_of("public"));
        for (const std::string& host : spec.hosts)
            claim_route(draft, host, place_in_public(draft, "hosts"));
    }

    void check_agreement(const Draft& draft, const Draft& first) {
        const model::PublicSpec& spec = *draft.spec.at_public;
        const model::PublicSpec& before = *first.spec.at_public;
        const auto disagree = [&](std::string_view key) {
            findings_.add(place_in_public(draft, key),
                          fmt::format("'{}' of port {} is not what service {} says", key, spec.port,
                                      shown(first.spec.name)),
                          fmt::format("the same '{}' for both, or a port for each", key));
        };
        if (spec.bind != before.bind) disagree("bind");
        if (spec.trust != before.trust) disagree("trust");
    }

    void claim_route(const Draft& draft, const std::string& host, Place place) {
        const model::PublicSpec& spec = *draft.spec.at_public;
        if (routes_.size() == model::kRoutesMax) {
            if (std::exchange(has_too_many_routes_, true)) return;
            return findings_.add(place,
                                 fmt::format("more than {} hosts and paths", model::kRoutesMax),
                                 R"(one "*.example.com" for many hosts)");
        }
        const auto [first, is_new] = routes_.emplace(Route{spec.port, host, spec.path}, &draft);
        if (is_new) return;
        findings_.add(place,
                      fmt::format("services {} and {} both answer at port {} for {}",
                                  shown(first->second->spec.name), shown(draft.spec.name),
                                  spec.port, shown_route(host, spec.path)),
                      "another host, path or port for one of them");
    }

    // Of a key of the map, else of `public` as a whole.
    static Place place_in_public(const Draft& draft, std::string_view key) {
        const Node* at_public = draft.node->find("public");
        const Node* child = at_public == nullptr ? nullptr : at_public->find(key);
        return child == nullptr ? draft.place_of("public") : child->place;
    }

    void claim_own(const Draft& draft) {
        const std::uint16_t port = draft.spec.port;
        if (port == 0) return;  // Not read: there is a finding.
        const auto [first, is_new] = ports_.emplace(port, &draft);
        if (is_new) return;
        findings_.add(
            draft.place_of("port"),
            first->second == &draft
                ? fmt::format("port {} is the public one: it cannot listen there, too", port)
                : fmt::format("port {} is taken by service {}", port,
                              shown(first->second->spec.name)),
            "listen on $PORT and remove 'port'");
    }

    std::span<const Draft> drafts_;
    Findings& findings_;
    std::vector<std::string_view> names_;
    std::map<std::string_view, const Draft*> by_name_;
    std::map<std::uint16_t, const Draft*> ports_;
    std::map<Route, const Draft*> routes_;
    bool has_too_many_routes_ = false;  // Said once.
    int ports_wanted_ = 0;
};

}  // namespace

void check_services(std::span<const Draft> drafts, Findings& findings) {
    Checks(drafts, findings).run();
}

}  // namespace thole::manifest
