// Which spools of ended slots are kept: of each service the newest, up to a bound.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "env/files.h"

namespace thole::control {

// Of one service's ended slots together: a scale that goes up and down must not fill the disk.
constexpr std::uint64_t kEndedSpoolBytesMax = 1ULL << 30U;

// "<service>-<slot>.out" or ".err", or of a build.
struct SpoolName {
    std::string_view service;  // Lies in the name.
    std::uint32_t slot = 0;    // 0: of its builds.
};
SpoolName read_spool_name(std::string_view name);

// Of the files of the spool folder those to be removed, oldest first. Slots not named in `free` are
// in use, or nobody's known to us, and are left alone.
std::vector<std::string> spools_to_remove(std::vector<env::FileInfo> files,
                                          const std::set<std::uint32_t>& free);

}  // namespace thole::control
