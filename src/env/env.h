// All that a component may know of the outside world. Passed in, never global; outlives whoever is
// given it.
#pragma once

#include "base/random.h"
#include "env/background.h"
#include "env/files.h"
#include "env/network.h"
#include "env/processes.h"
#include "env/timers.h"
#include "env/trees.h"

namespace thole::env {

struct Env {
    Clock& clock;
    Timers& timers;
    Random& random;
    Files& files;
    Network& network;
    Background& background;  // What decisions wait for: the store's commits.
    Background& errands;     // What may take minutes: folders, logs, builds' files, /proc.
    Trees& trees;
    Processes& processes;
};

}  // namespace thole::env
