// Times as the API writes them, and as people read them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "cli/outside.h"

namespace thole::cli {

// What format_wall() writes, read back; nothing where it is something else.
std::optional<WallTime> read_wall(std::string_view text);

// "14:03:07" here; the text itself where it is no time.
std::string clock_of(Outside& outside, std::string_view time);
// "2026-11-24 14:03:07" here.
std::string date_and_clock_of(Outside& outside, std::string_view time);
// "3 min 5 s" since then; empty where it is no time.
std::string age_of(Outside& outside, std::string_view time);

}  // namespace thole::cli
