// Where things lie in a simulated machine.
#pragma once

#include "env/trees.h"
#include "sim/loop.h"

namespace thole::simulation {

constexpr const char* kRun = "/run/thole/world";
constexpr const char* kDataParent = "/srv";
constexpr const char* kData = "/srv/data";
constexpr const char* kProjects = "/projects";
constexpr const char* kSources = "/projects/world";

// Of some services.
constexpr const char* kUser = "app";
constexpr env::Owner kUserIs = {500, 501};

// A disk that is worn out.
constexpr sim::Range kSlowJobs = {std::chrono::milliseconds(10), std::chrono::seconds(2)};
// After a death or another scale: what was decided before that comes until then.
constexpr Duration kShaken = std::chrono::seconds(5);
// `stop: {grace: …}` of all services here.
constexpr Duration kGrace = std::chrono::seconds(2);
// `health: {startup: …}` of all services here.
constexpr Duration kStartupLimit = std::chrono::seconds(4);

}  // namespace thole::simulation
