// Runs another program to its end and keeps what it says.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace thole::app {

enum class Kept { Output = 1, Problems = 2 };  // stdout or stderr; the other goes nowhere.

struct Ended {
    int status = 0;  // As waitpid() gives it.
    std::string said;
};

// The first word is looked for in PATH. Its variables are ours without GIT_*: they would lead it
// to another repository when we run in a hook of git.
Result<Ended> run_program(const std::vector<std::string>& words, Kept kept);

}  // namespace thole::app
