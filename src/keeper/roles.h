// When a role comes back, and when one has fallen silent. Pure: told what is, says what should be.
#pragma once

#include <cstdint>

namespace thole::keeper {

// How a role's process ended.
struct RoleEnd {
    std::int32_t wait_status = 0;
    std::uint32_t oom_kills = 0;
    std::int64_t lived_ns = 0;
};

// Killed from outside (SIGKILL without an out-of-memory count, SIGTERM): comes back at once and
// does not count. All else is a crash.
bool is_crash(const RoleEnd& end);

// Crashes in a row after this end: one that lived for ten seconds has recovered from the ones
// before.
std::uint32_t crashes_after(std::uint32_t crashes_before, const RoleEnd& end);

// How long to wait before the next start: 0, then 100 ms doubling up to 5 s.
std::int64_t restart_delay_ns(std::uint32_t crashes);

// Counts how long a role has been silent, in the watcher's own turns only: a turn that began more
// than a second late (a suspended machine, a stopped watcher) starts the count again, so that sleep
// kills nobody.
class Silence {
public:
    // Called each turn with the watcher's time and the role's last tick; true once it has been
    // silent for 5 s.
    bool observe(std::int64_t now_ns, std::uint64_t tick);
    // The role was started: counting begins now.
    void restart(std::int64_t now_ns);

private:
    std::int64_t turn_ns_ = 0;
    std::int64_t silent_ns_ = 0;
    std::uint64_t tick_ = 0;
};

// Counts how long the edge's heir has been waited for, in turns that came on time only: what a
// watcher that was held up has to read may well be the heir's word.
class HeirWait {
public:
    void restart(std::int64_t now_ns);
    // Called each turn: how long it has been by now. After a late turn the count starts again.
    std::int64_t observe(std::int64_t now_ns);

private:
    std::int64_t turn_ns_ = 0;
    std::int64_t waited_ns_ = 0;
};

// The watcher of a role looks this often: a role ticks once a second at least.
constexpr std::int64_t kTurnNs = 250'000'000;
// A turn this late proves nothing: the machine was asleep, or the watcher had no processor.
constexpr std::int64_t kLateNs = 1'000'000'000;
// A role that does not tick for so long is killed: five ticks, so that a busy machine kills none.
constexpr std::int64_t kSilentNs = 5'000'000'000;
// A role that lived so long: its earlier crashes are forgotten.
constexpr std::int64_t kRecoveredNs = 10'000'000'000;
// Before the next start of a role that crashed; doubles with each crash in a row. One that was
// killed from outside starts at once.
constexpr std::int64_t kRoleDelayMinNs = 100'000'000;
// So long it waits at most: without a role nothing is mended.
constexpr std::int64_t kRoleDelayMaxNs = 5'000'000'000;

}  // namespace thole::keeper
