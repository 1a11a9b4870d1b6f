// What one key alone cannot tell.
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>

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
            count_port(draft.place_of("public"));
            claim(draft, draft.spec.at_public->port, Use::Public);
        }
        for (const Draft& draft : drafts_) {
            if (draft.spec.port_use == PortUse::Fixed) claim(draft, draft.spec.port, Use::Own);
        }
    }

private:
    enum class Use { Public, Own };

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
    }

    // On one machine a port has one listener.
    void claim(const Draft& draft, std::uint16_t port, Use use) {
        if (port == 0) return;  // Not read: there is a finding.
        const auto [first, is_new] = ports_.emplace(port, &draft);
        if (is_new) return;
        const bool is_public = use == Use::Public;
        findings_.add(
            draft.place_of(is_public ? "public" : "port"),
            first->second == &draft
                ? fmt::format("port {} is the public one: it cannot listen there, too", port)
                : fmt::format("port {} is taken by service {}", port,
                              shown(first->second->spec.name)),
            is_public ? "" : "listen on $PORT and remove 'port'");
    }

    std::span<const Draft> drafts_;
    Findings& findings_;
    std::vector<std::string_view> names_;
    std::map<std::string_view, const Draft*> by_name_;
    std::map<std::uint16_t, const Draft*> ports_;
    int ports_wanted_ = 0;
};

}  // namespace

void check_services(std::span<const Draft> drafts, Findings& findings) {
    Checks(drafts, findings).run();
}

}  // namespace thole::manifest
