// What became of something that was waited for, told, and as an exit code.
#pragma once

#include <string>
#include <string_view>

#include "base/time.h"
#include "cli/console.h"
#include "cli/follow.h"

namespace thole::cli {

struct About {
    std::string_view service = {};  // Only this one; empty: the system.
    Duration took;
};

// With --json one object on stdout; else on stderr: that it serves, or what does not, why, and
// what it said last.
int report(Console& console, const Waited& waited, const About& about);

}  // namespace thole::cli
