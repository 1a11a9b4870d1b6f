#include "cli/moments.h"

#include <algorithm>
#include <chrono>

#include "base/parse.h"
#include "cli/printable.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

// Two or four digits with leading zeros, or -1.
int digits(std::string_view text) {
    int number = 0;
    for (const char c : text) {
        if (c < '0' || '9' < c) return -1;
        number = number * 10 + (c - '0');
    }
    return number;
}

// As format_wall() writes it, but of this place's clock.
std::optional<std::string> local(Outside& outside, std::string_view time) {
    const std::optional<WallTime> wall = read_wall(time);
    if (!wall) return std::nullopt;
    return format_wall(*wall + std::chrono::seconds(outside.utc_offset_seconds(*wall)));
}

}  // namespace

std::optional<WallTime> read_wall(std::string_view text) {
    // 2026-11-24T05:12:03.120Z
    if (text.size() != 24 || text[4] != '-' || text[7] != '-' || text[10] != 'T' ||
        text[13] != ':' || text[16] != ':' || text[19] != '.' || text[23] != 'Z') {
        return std::nullopt;
    }
    const int year = digits(text.substr(0, 4));
    const int month = digits(text.substr(5, 2));
    const int day = digits(text.substr(8, 2));
    const int hour = digits(text.substr(11, 2));
    const int minute = digits(text.substr(14, 2));
    const int second = digits(text.substr(17, 2));
    const int milli = digits(text.substr(20, 3));
    const bool is_time = 0 <= hour && hour < 24 && 0 <= minute && minute < 60 && 0 <= second &&
                         second < 61 && 0 <= milli;
    // Nanoseconds in 64 bits end in 2262.
    if (year < 1970 || 2261 < year || month < 1 || day < 1 || !is_time) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year(year),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok()) return std::nullopt;
    const Duration since = std::chrono::sys_days(date).time_since_epoch();
    return WallTime(since + hour * 1h + minute * 1min + second * 1s + milli * 1ms);
}

std::string clock_of(Outside& outside, std::string_view time) {
    const std::optional<std::string> here = local(outside, time);
    return here ? here->substr(11, 8) : printable(time);
}

std::string date_and_clock_of(Outside& outside, std::string_view time) {
    const std::optional<std::string> here = local(outside, time);
    return here ? here->substr(0, 10) + " " + here->substr(11, 8) : printable(time);
}

std::string age_of(Outside& outside, std::string_view time) {
    const std::optional<WallTime> since = read_wall(time);
    if (!since) return {};
    return format_duration(std::max(outside.env().clock.wall() - *since, Duration(0)));
}

}  // namespace thole::cli
