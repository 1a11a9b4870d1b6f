// `thole control`: control as a role of keeper's.
#pragma once

#include <string>

namespace thole::app {

// Runs until it is ended. Does not return but for an error, which is on stderr.
int run_control(const std::string& run_folder, const std::string& data_folder);

}  // namespace thole::app
