// All of env on Linux, around one loop.
#pragma once

#include "env/env.h"
#include "os/linux_background.h"
#include "os/linux_files.h"
#include "os/linux_network.h"
#include "os/linux_processes.h"
#include "os/linux_trees.h"
#include "os/loop.h"

namespace thole::os {

// 64 bits from the kernel, for seeding; never for secrets.
std::uint64_t random_seed();

class LinuxEnv {
public:
    explicit LinuxEnv(Loop& loop)
        : random_(random_seed()),
          network_(loop),
          background_(loop),
          errands_(loop),
          env_{loop, loop, random_, files_, network_, background_, errands_, trees_, processes_} {}
    env::Env& env() { return env_; }

private:
    Random random_;
    LinuxFiles files_;
    LinuxNetwork network_;
    LinuxBackground background_;
    LinuxBackground errands_;
    LinuxTrees trees_;
    LinuxProcesses processes_;
    env::Env env_;
};

}  // namespace thole::os
