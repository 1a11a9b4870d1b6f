// Stands here until control/ is in this tree, and is then replaced whole.
#include "app/control_main.h"

#include <cstdio>

namespace thole::app {

int run_control(const std::string& run, const std::string&) {
    std::fprintf(stderr, "control: not in this build (%s)\n", run.c_str());
    return 1;
}

}  // namespace thole::app
