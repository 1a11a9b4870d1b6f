// A folder with all that is in it goes to another user.
#pragma once

#include <string>

#include "base/result.h"
#include "env/trees.h"

namespace thole::os {

// What env::Trees says of hand_over(), for a folder that is there; `mode` is for the folder itself.
Status hand_over_tree(const std::string& path, env::Owner owner, std::uint32_t mode);

}  // namespace thole::os
