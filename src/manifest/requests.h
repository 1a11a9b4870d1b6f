// The value of `requests`: what the edge does for the requests to a service, and how long it waits.
#pragma once

#include "manifest/findings.h"
#include "manifest/node.h"
#include "model/manifest.h"

namespace thole::manifest {

model::RequestsSpec read_requests_spec(const Node& node, Findings& findings);

}  // namespace thole::manifest
