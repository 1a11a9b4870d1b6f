// One service of a manifest, by itself, and then all of them beside each other.
#pragma once

#include <span>
#include <vector>

#include "manifest/findings.h"
#include "manifest/node.h"
#include "model/manifest.h"

namespace thole::manifest {

// A service with what was written, so that later findings have a place.
struct Draft {
    model::ServiceSpec spec;
    const Node* node = nullptr;  // Its value in the map of services.
    // Of the value at this key, else of the service's name.
    Place place_of(std::string_view key) const;
};

// The node has the service's name as its key.
Draft read_service(const Node& node, Findings& findings);

// What only shows beside other keys and services: calls, reserved variables, single copies, ports.
void check_services(std::span<const Draft> drafts, Findings& findings);

}  // namespace thole::manifest
