// Which instances of a service to start and which to end, so that in the end exactly `count` of the
// current version run, and at no time fewer serve than can be helped.
//
// It looks at what is, not at what happened, so it needs no state of its own: a rolling replacement
// is what follows when the current version changes; its reversal is the same with the versions
// exchanged. One starts at a time beyond the count (surge 1), and one leaves for each that became
// ready. Of a single service the old one has to be gone before the new one starts.
#pragma once

#include <span>
#include <vector>

#include "base/time.h"
#include "model/instance.h"

namespace thole::recovery {

struct ServiceSeen {
    int count = 0;               // Instances that should serve; 0: the service is to stop.
    bool is_single = false;      // Two must never run at once.
    model::Version current;      // What should run.
    model::Version proven = {};  // What served last; what is started to fill a gap while the
                                 // current version has still to show that it can.
    Time next_start{};           // Not before: back-off of the current version.
    Time next_fill{};            // The same of the proven one: neither waits for the other.
    // The proven one has a share of the requests: all of it goes on beside all of the current one.
    bool keeps_proven = false;
    Time now{};
    std::span<const model::InstanceSeen> instances = {};  // All that have not ended.
};

struct Plan {
    std::vector<model::Version> start;
    std::vector<model::InstanceId> end;
    Time look_again{};  // Something is to start then; not set where no back-off is in the way.
    // Nothing is missing and nothing is too much.
    bool is_settled = false;
};

Plan plan(const ServiceSeen& seen);

}  // namespace thole::recovery
