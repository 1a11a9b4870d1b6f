// A copy of a project's folder has the id of its original: what it is told to change would be the
// original's.
#pragma once

#include "base/result.h"
#include "cli/client.h"
#include "cli/system_view.h"

namespace thole::cli {

// A conflict where `system`, which answered here, runs from another folder that still has its id.
Status check_folder(Client& client, const SystemView& system);

}  // namespace thole::cli
