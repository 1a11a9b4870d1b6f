// One run of one simulated process: what its timers, work, files and sockets share. It outlives the
// process, so that objects which the test destroys later find out that they are dead.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "env/network.h"

namespace thole::sim {

struct Life {
    std::string name;
    env::Peer who;
    std::uint32_t gid = 0;
    bool is_alive = true;
    bool is_paused = false;
    // Where set, so many more file operations take effect, and no other.
    std::optional<std::uint64_t> operations_left = std::nullopt;
};

using LifePointer = std::shared_ptr<Life>;

}  // namespace thole::sim
