// watch: holds copies of keeper's descriptors, waits for keeper's death, starts the next one. It is
// keeper's first parent and a subreaper, so it can say how a process ended that a dead keeper left
// behind.
#pragma once

#include "keeper/options.h"

namespace thole::keeper {

// Runs until keeper ends for good. Descriptor 3 is the link to keeper where options.has_link, else
// it starts one.
int run_watch(const Options& options);

}  // namespace thole::keeper
