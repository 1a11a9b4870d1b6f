// The command line as a whole: words in, exit code out. Everything else comes from Outside.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/outside.h"

namespace thole::cli {

// `words`: those after `thole`.
int run(Outside& outside, const std::vector<std::string>& words);

// The exit code of an error; `answered`: thole itself said so.
enum class Answered { No, Yes };
int exit_of(Code code, Answered answered);

}  // namespace thole::cli
