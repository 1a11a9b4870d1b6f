// The value of `public`: by which port, hosts and paths users reach a service, and whom it
// believes.
#pragma once

#include "manifest/findings.h"
#include "manifest/node.h"
#include "model/manifest.h"

namespace thole::manifest {

model::PublicSpec read_public_side(const Node& node, Findings& findings);

// "shop.example.com/api", "any host" of one that has neither: for messages.
std::string shown_route(const std::string& host, const std::string& path);

}  // namespace thole::manifest
