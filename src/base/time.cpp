#include "base/time.h"

#include <fmt/core.h>

namespace thole {

namespace {

struct Date {
    std::int64_t year;
    unsigned month;
    unsigned day;
};

// Days since 1970-01-01 to a Gregorian date, without a table or the C library's locks.
// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
Date date_of(std::int64_t days) {
    days += 719468;
    const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const auto day_of_era = static_cast<unsigned>(days - era * 146097);
    const unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const unsigned day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const unsigned shifted_month = (5 * day_of_year + 2) / 153;
    const unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    const std::int64_t year =
        static_cast<std::int64_t>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0);
    return {year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1};
}

}  // namespace

std::string format_wall(WallTime time) {
    std::int64_t millis = milliseconds_of(time.time_since_epoch());
    std::int64_t days = millis / 86'400'000;
    millis -= days * 86'400'000;
    if (millis < 0) {
        millis += 86'400'000;
        --days;
    }
    const Date date = date_of(days);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", date.year, date.month,
                       date.day, millis / 3'600'000, millis / 60'000 % 60, millis / 1000 % 60,
                       millis % 1000);
}

std::string format_duration(Duration duration) {
    const std::int64_t millis = milliseconds_of(duration);
    if (millis < 0) return "-" + format_duration(-duration);
    if (millis < 1000) return fmt::format("{} ms", millis);
    if (millis < 10'000) return fmt::format("{}.{} s", millis / 1000, millis / 100 % 10);
    const std::int64_t seconds = millis / 1000;
    if (seconds < 60) return fmt::format("{} s", seconds);
    if (seconds < 3600) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
    if (seconds < 86'400) return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
    return fmt::format("{} d {} h", seconds / 86'400, seconds / 3600 % 24);
}

}  // namespace thole
