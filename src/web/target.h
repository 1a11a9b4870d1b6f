// The target of a request, taken apart and percent-decoded. What a path means (also one with "..")
// is not known here.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace thole::web {

struct TargetParts {
    std::string path;
    std::vector<std::pair<std::string, std::string>> query;  // In the order written.
};

// "/a%20b?c=d+e": an escape that is none is an error; '+' is a blank in the query only, as forms
// write it.
Result<TargetParts> split_target(std::string_view target);

}  // namespace thole::web
