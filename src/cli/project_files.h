// The files of a project, as a manifest is sent with them.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/outside.h"

namespace thole::cli {

// What git would list below the folder, else all but dot-folders; relative to it, sorted, each
// once. A repository inside is listed as its own. Never `.thole/`: it holds what thole keeps there
// itself.
Result<std::vector<std::string>> list_files(Outside& outside, const std::string& folder);

}  // namespace thole::cli
