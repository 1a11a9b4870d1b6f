// `thole logs web` and `thole logs --service web` mean the same.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/system_view.h"

namespace thole::cli {

// Empty: all services.
Result<std::string> service_of(const Arguments& arguments);

// The first word is a service that there is; else an error that names those that there are.
Status check_service(const SystemView& system, const Arguments& arguments);

}  // namespace thole::cli
