// `thole control`: the role that decides, as keeper starts it.
#pragma once

#include <string>

namespace thole::app {

// Returns only when control has to end; then its exit status.
int run_control(const std::string& run, const std::string& data);

}  // namespace thole::app
