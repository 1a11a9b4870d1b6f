// `thole logs web` and `thole logs --service web` mean the same.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/arguments.h"

namespace thole::cli {

// Empty: all services.
Result<std::string> service_of(const Arguments& arguments);

}  // namespace thole::cli
