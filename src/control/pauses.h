// Services whose requests wait at the edge because somebody said so, until somebody says otherwise
// or the time for it is over.
#pragma once

#include <functional>
#include <vector>

#include "base/time.h"
#include "env/timers.h"
#include "model/records.h"

namespace thole::control {

struct Pause {
    model::PauseRow row;
    bool is_applied = false;                     // The edge has said that it goes by it.
    std::vector<std::function<void()>> waiting;  // To be called once it does.
    env::Timer end;
};

// What is left for a control that begins: never more than was asked for. While control lives it
// counts the time itself; what passed without one only the wall clock tells, also across a boot,
// and somebody may have set it meanwhile. Set back it prolongs a pause by no more than its length;
// set forward it ends one early, and requests go on.
Duration left_of(const model::PauseRow& row, WallTime now);

}  // namespace thole::control
