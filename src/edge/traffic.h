// What one worker learns of a service's traffic as a whole: how many retries it may bear, how long
// its answers usually take, how much is under way.
#pragma once

#include <cstdint>

#include "edge/retry_budget.h"
#include "edge/usual_time.h"

namespace thole::edge {

struct ServiceTraffic {
    std::uint32_t service = ~std::uint32_t{0};  // Its id: another one begins anew.
    std::uint32_t in_flight = 0;
    std::uint32_t retries = 0;  // Among these.
    RetryBudget budget;
    UsualTime usual;
};

}  // namespace thole::edge
