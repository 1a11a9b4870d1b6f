// Where things lie in a simulated machine.
#pragma once

#include "sim/loop.h"

namespace thole::simulation {

constexpr const char* kRun = "/run/thole/world";
constexpr const char* kData = "/srv/data";
constexpr const char* kSources = "/srv/world";

// A disk that is worn out.
constexpr sim::Range kSlowJobs = {std::chrono::milliseconds(10), std::chrono::seconds(2)};
// `stop: {grace: …}` of all services here.
constexpr Duration kGrace = std::chrono::seconds(2);

}  // namespace thole::simulation
