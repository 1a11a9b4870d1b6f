// What `thole version` says; the same number as in CMakeLists.txt.
#pragma once

#include <string_view>

namespace thole::cli {

constexpr std::string_view kVersion = "0.1.0";

}  // namespace thole::cli
