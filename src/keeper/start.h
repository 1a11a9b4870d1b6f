// `keeper start`: makes the folders, starts watch (and with it keeper) in the background, waits
// until keeper answers. Idempotent: where a keeper of this run folder answers already, it does
// nothing.
#pragma once

#include "keeper/options.h"

namespace thole::keeper {

// 0 once keeper answers; else 1, with what, why and what to try on stderr.
int run_start(const Options& options);

}  // namespace thole::keeper
