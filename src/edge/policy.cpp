#include "edge/policy.h"

#include <algorithm>
#include <cstring>

#include "http/grammar.h"
#include "http/head.h"

namespace thole::edge {
namespace {

bool is_listed(std::string_view list, std::string_view wanted) {
    std::string_view element;
    while (http::next_element(list, element)) {
        if (http::same_name(element, wanted)) return true;
    }
    return false;
}

}  // namespace

RequestPolicy policy_of(const wire::SnapshotService& service) {
    RequestPolicy policy{service.request_flags, {}};
    std::memcpy(policy.upgrades, service.upgrades.data(),
                std::min(service.upgrades.size(), wire::kUpgradesBytesMax));
    return policy;
}

std::string_view allowed_upgrade(const RequestPolicy& policy, std::string_view asked,
                                 std::span<char> room) {
    if (policy.has(wire::kAnyUpgrade)) return http::without_h2c(asked, room);
    // Nearly always one, and one that may be.
    if (is_listed(policy.upgrades, asked) && !http::same_name(asked, "h2c")) return asked;
    std::size_t size = 0;
    std::string_view protocol;
    while (http::next_element(asked, protocol)) {
        if (!is_listed(policy.upgrades, protocol) || http::same_name(protocol, "h2c")) continue;
        const std::string_view separator = size > 0 ? ", " : "";
        if (separator.size() + protocol.size() > room.size() - size) return {};
        for (const std::string_view part : {separator, protocol}) {
            std::copy(part.begin(), part.end(), room.begin() + static_cast<std::ptrdiff_t>(size));
            size += part.size();
        }
    }
    return {room.data(), size};
}

}  // namespace thole::edge
