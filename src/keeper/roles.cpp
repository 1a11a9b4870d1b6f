#include "keeper/roles.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>

namespace thole::keeper {

bool is_crash(const RoleEnd& end) {
    if (!WIFSIGNALED(end.wait_status)) return true;
    const int signal = WTERMSIG(end.wait_status);
    return end.oom_kills > 0 || (signal != SIGKILL && signal != SIGTERM);
}

std::uint32_t crashes_after(std::uint32_t crashes_before, const RoleEnd& end) {
    const std::uint32_t before = end.lived_ns >= kRecoveredNs ? 0 : crashes_before;
    return is_crash(end) ? before + 1 : before;
}

std::int64_t restart_delay_ns(std::uint32_t crashes) {
    if (crashes == 0) return 0;
    const std::uint32_t doublings = std::min<std::uint32_t>(crashes - 1, 6);
    return std::min(kRoleDelayMinNs << doublings, kRoleDelayMaxNs);
}

bool Silence::observe(std::int64_t now_ns, std::uint64_t tick) {
    const std::int64_t since = now_ns - turn_ns_;
    turn_ns_ = now_ns;
    if (tick != tick_ || since > kTurnNs + kLateNs) {
        tick_ = tick;
        silent_ns_ = 0;
        return false;
    }
    silent_ns_ += since;
    return silent_ns_ >= kSilentNs;
}

void Silence::restart(std::int64_t now_ns) {
    turn_ns_ = now_ns;
    silent_ns_ = 0;
}

void HeirWait::restart(std::int64_t now_ns) {
    turn_ns_ = now_ns;
    waited_ns_ = 0;
}

std::int64_t HeirWait::observe(std::int64_t now_ns) {
    const std::int64_t since = now_ns - turn_ns_;
    turn_ns_ = now_ns;
    waited_ns_ = since > 2 * kTurnNs ? 0 : waited_ns_ + since;
    return waited_ns_;
}

}  // namespace thole::keeper
