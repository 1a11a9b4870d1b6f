// What of a snapshot changes as a whole, beside the tables of the segment in which it has places.
#pragma once

#include <cstdint>

#include "edge/policy.h"
#include "edge/router.h"
#include "edge/sticky.h"

namespace thole::edge {

// Routes and pairs of caller and callee.
constexpr std::uint32_t kListenersMax = 2048;
// Whose endpoints an edge keeps.
constexpr std::uint32_t kServicesMax = 1024;

// Who answers where. Main writes the one that no worker goes by.
struct AllRoutes {
    ListenerRoutes of[kListenersMax];      // By the listener's place.
    StickyKey sticky[kServicesMax];        // By the service's place.
    RequestPolicy policies[kServicesMax];  // By the service's place.
    RouteTable table;
};

}  // namespace thole::edge
