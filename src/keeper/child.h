// What a child of keeper does between fork and exec: claims its slot, applies its image to itself,
// becomes its program. Async-signal-safe in effect: no allocation, no locks.
#pragma once

#include "keeper/cgroups.h"
#include "wire/image.h"
#include "wire/keeper.h"
#include "wire/slots.h"

namespace thole::keeper {

struct ChildPlan {
    wire::SlotRecord* record = nullptr;
    wire::SlotRef at{};
    int lock = -1;         // keeper's; closed before all else, or a child that hangs would hold it.
    int claims_pipe = -1;  // Told once the slot is claimed.
    int out = -1;          // Spools; -1: /dev/null.
    int err = -1;
    int inherited = -1;                      // Becomes descriptor 3; -1: none.
    const Cgroups* cgroups = nullptr;        // Its own cgroup, where there is one.
    const wire::ImageView* image = nullptr;  // An instance: everything else is in it.
    const char* const* arguments = nullptr;  // A role: argv, with keeper's own environment.
};

[[noreturn]] void become(const ChildPlan& plan);

}  // namespace thole::keeper
