// The moment at which no worker does anything: each waits between two turns, in no function that
// holds a lock. Main's.
#pragma once

#include "edge/runtime.h"

namespace thole::edge {

// False where one of them did not come within 200 ms. Then, too, they are to be let go.
bool park_workers(Runtime& runtime);
void let_go(Runtime& runtime);

}  // namespace thole::edge
