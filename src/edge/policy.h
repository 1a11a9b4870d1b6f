// What the requests of one service may do, as its snapshot has it. Plain data; it lies beside the
// routes and is swapped with them as a whole. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "wire/snapshot.h"

namespace thole::edge {

struct RequestPolicy {
    std::uint32_t flags;  // wire::PolicyFlags
    char upgrades[wire::kUpgradesBytesMax + 1];

    bool has(wire::PolicyFlags flag) const { return (flags & flag) != 0; }
};
static_assert(sizeof(RequestPolicy) == 64);

RequestPolicy policy_of(const wire::SnapshotService& service);

// Those of an Upgrade field's protocols that may be asked for, never HTTP/2; itself, or a list in
// `room`. Empty: it is served as if it had not asked (RFC 9110 section 7.8).
std::string_view allowed_upgrade(const RequestPolicy& policy, std::string_view asked,
                                 std::span<char> room);

}  // namespace thole::edge
