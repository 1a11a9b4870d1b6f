// Time, in two kinds that cannot be mixed up.
// Time is CLOCK_BOOTTIME: it goes on during suspend and never jumps; all decisions use it. It has
// no now(): whoever needs it is given it. WallTime is for display, certificates and cron only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace thole {

using Duration = std::chrono::nanoseconds;

struct BootClock {
    using duration = Duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<BootClock, Duration>;
    static constexpr bool is_steady = true;
};

struct WallClock {
    using duration = Duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<WallClock, Duration>;
    static constexpr bool is_steady = false;
};

using Time = BootClock::time_point;      // Since boot.
using WallTime = WallClock::time_point;  // Since 1970-01-01T00:00:00Z.

constexpr Duration kForever = Duration::max();

constexpr std::int64_t milliseconds_of(Duration duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}
constexpr std::int64_t nanoseconds_of(Time time) { return time.time_since_epoch().count(); }
constexpr std::int64_t nanoseconds_of(WallTime time) { return time.time_since_epoch().count(); }
constexpr Time time_from_nanoseconds(std::int64_t count) { return Time(Duration(count)); }
constexpr WallTime wall_from_nanoseconds(std::int64_t count) { return WallTime(Duration(count)); }

// "2026-11-24T05:12:03.120Z", always UTC, milliseconds.
std::string format_wall(WallTime time);
// For people: "340 ms", "2.4 s", "3 min 5 s", "2 h 10 min", "3 d 4 h".
std::string format_duration(Duration duration);

}  // namespace thole
