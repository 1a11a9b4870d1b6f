#include "keeper/role_table.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "keeper/table.h"
#include "os/fault_point.h"

namespace thole::keeper {
namespace {

constexpr auto kWatch = static_cast<std::uint32_t>(wire::Role::Watch);
constexpr auto kControl = static_cast<std::uint32_t>(wire::Role::Control);
constexpr auto kEdge = static_cast<std::uint32_t>(wire::Role::Edge);
constexpr auto kNextEdge = static_cast<std::uint32_t>(wire::Role::NextEdge);
// So long the edge's holder may take to become the edge; it needs milliseconds.
constexpr std::int64_t kSuccessorNs = 1'000'000'000;
// The same where it wants to run and gets no processor: another edge would get none either.
constexpr std::int64_t kStarvedNs = 5'000'000'000;
// For a new edge beside the old: 5 s to start, 2 s to take over, as the edge has it, and to say so.
constexpr std::int64_t kUpgradeNs = 8'000'000'000;

}  // namespace

// A role that runs on from a keeper before us counts as started now.
std::uint32_t RoleTable::turn(std::int64_t now_ns, const wire::TicksPage& ticks) {
    if (!is_open_) {
        is_open_ = true;
        // How long ago it was is not known: what takes over from the edge has its time from here
        // on.
        for (Row& row : rows_) {
            row.changed_ns = now_ns;
            row.heir.restart(now_ns);
        }
        rows_[kWatch].wanted = true;
        rows_[kControl].wanted = options_.runs_control;
        rows_[kEdge].wanted = options_.runs_edge;
    }
    end_late_upgrade(now_ns);
    for (std::uint32_t role = 0; role < wire::kRoleSlots; ++role) {
        Row& row = rows_[role];
        if (!row.wanted || is_stopping_) continue;
        const wire::SlotStatus status = slots_.status(role);
        if (status == wire::SlotStatus::Running || status == wire::SlotStatus::Starting) {
            if (row.event != wire::RoleEvent::Running) {
                row.event = wire::RoleEvent::Running;
                row.started_ns = row.changed_ns = now_ns;
                row.silence.restart(now_ns);
                changed_ |= 1U << role;
            } else if (row.silence.observe(now_ns, ticks.last[role])) {
                row.event = wire::RoleEvent::KilledForSilence;
                row.changed_ns = now_ns;
                changed_ |= 1U << role;
                signal(role, SIGKILL);
            }
            continue;
        }
        if (status == wire::SlotStatus::Ended && row.event == wire::RoleEvent::Running)
            ended(role, now_ns);
        const std::int64_t waited_ns = row.heir.observe(now_ns);
        if (now_ns >= row.next_ns && !successor_lives(role, waited_ns)) start(role);
    }
    return std::exchange(changed_, 0);
}

void RoleTable::ended(std::uint32_t role, std::int64_t now_ns) {
    Row& row = rows_[role];
    const wire::SlotState state = slots_.state(role);
    const RoleEnd end{.wait_status = state.flags == 0 ? SIGKILL : state.wait_status,
                      .oom_kills = state.oom_kills,
                      .lived_ns = row.started_ns == 0 ? kRecoveredNs : now_ns - row.started_ns};
    row.crashes = crashes_after(row.crashes, end);
    row.wait_status = end.wait_status;
    row.event = wire::RoleEvent::Ended;
    row.changed_ns = now_ns;
    row.heir.restart(now_ns);
    row.next_ns = now_ns + restart_delay_ns(row.crashes);
    changed_ |= 1U << role;
}

// The pid of the process that becomes this role when it dies; 0 where there is none.
std::uint32_t RoleTable::holder_of(std::uint32_t role) {
    const wire::SlotRecord& record = slots_.record(role);
    if ((role != kEdge && role != kNextEdge) || record.successor <= 1) return 0;
    const std::uint64_t start_time = start_time_of(record.successor);
    const bool is_it =
        start_time != 0 && static_cast<std::uint32_t>(start_time) == record.successor_start;
    return is_it ? record.successor : 0;
}

// The edge's holder is becoming the edge, or the edge that was started beside it, or the holder of
// that one: it will claim the slot itself. If none does, they are killed, too.
bool RoleTable::successor_lives(std::uint32_t role, std::int64_t waited_ns) {
    if (role != kEdge) return false;
    const wire::SlotClaim next = read_claim(slots_.record(kNextEdge).claim);
    const bool is_beside = slots_.status(kNextEdge) == wire::SlotStatus::Running && is_alive(next);
    const std::uint32_t heirs[] = {holder_of(kEdge), is_beside ? next.pid : 0,
                                   holder_of(kNextEdge)};
    bool any = false, wants_to_run = false;
    for (const std::uint32_t heir : heirs) {
        any = any || heir != 0;
        wants_to_run = wants_to_run || (heir != 0 && is_runnable(heir));
    }
    if (!any) return false;
    if (waited_ns < kSuccessorNs || (waited_ns < kStarvedNs && wants_to_run)) return true;
    for (const std::uint32_t heir : heirs) {
        if (heir != 0) ::kill(static_cast<pid_t>(heir), SIGKILL);
    }
    return false;
}

const char* RoleTable::upgrade(const char* program, int link, std::int64_t now_ns) {
    if (is_stopping_) return "keeper is shutting down";
    const wire::SlotStatus status = slots_.status(kNextEdge);
    if (status == wire::SlotStatus::Running || status == wire::SlotStatus::Starting)
        return "another upgrade is under way";
    Path installed;
    installed.set("%s/lib/thole/edge", options_.binaries.text);
    const char* const path = program[0] != '\0' ? program : installed.text;
    if (::access(path, X_OK) != 0) return "the program is not there, or may not be run";
    const char* const arguments[] = {
        path,       "--run", options_.run.text, "--data", options_.data.text, "--beside",
        "the edge", nullptr};
    slots_.record(kNextEdge).successor = 0;
    if (slots_.spawn_role(kNextEdge, arguments, link) == 0) return "it could not be started";
    rows_[kNextEdge].started_ns = now_ns;
    return nullptr;
}

// One that hangs beside an edge that serves; where that one is dead this may be the edge already,
// and successor_lives() has an eye on it. Where a keeper before us started it, its time begins with
// us.
void RoleTable::end_late_upgrade(std::int64_t now_ns) {
    Row& row = rows_[kNextEdge];
    if (slots_.status(kNextEdge) != wire::SlotStatus::Running) {
        if (slots_.status(kNextEdge) != wire::SlotStatus::Starting) row.started_ns = 0;
        return;
    }
    if (row.started_ns == 0) row.started_ns = now_ns;
    const bool is_late = now_ns - row.started_ns > kUpgradeNs;
    if (is_late && is_alive(read_claim(slots_.record(kEdge).claim))) signal(kNextEdge, SIGKILL);
}

// One that is not our child may have ended without our knowing yet: then its number is another's.
void RoleTable::signal(std::uint32_t role, int signal) {
    const wire::SlotClaim claim = read_claim(slots_.record(role).claim);
    if (slots_.status(role) == wire::SlotStatus::Running && is_alive(claim))
        ::kill(static_cast<pid_t>(claim.pid), signal);
}

void RoleTable::replace(std::uint32_t role) {
    if (const std::uint32_t holder = holder_of(role); holder != 0)
        ::kill(static_cast<pid_t>(holder), SIGKILL);
    signal(role, SIGKILL);
}

wire::SlotClaim RoleTable::who_listens(std::uint32_t role) {
    if (role == static_cast<std::uint32_t>(wire::Role::Keeper)) return {};
    const wire::SlotClaim claim = read_claim(slots_.record(role).claim);
    if (is_alive(claim)) return claim;
    const std::uint32_t holder = holder_of(role);
    return holder == 0 ? wire::SlotClaim{} : wire::SlotClaim{0, holder, start_time_of(holder)};
}

bool RoleTable::start(std::uint32_t role) {
    Row& row = rows_[role];
    Path program;
    const char* arguments[14];
    int inherited = -1;
    int pair[2] = {-1, -1};
    if (role == kWatch) {
        Options options = options_;
        options.set_parent(::getpid());
        write_arguments(options, "watch", arguments);
        program.set("%s/lib/thole/keeper", options_.binaries.text);
        arguments[0] = "/proc/self/exe";
        if (!make_link_pair(pair)) return false;
        inherited = pair[1];
    } else {
        const bool is_control = role == kControl;
        program.set(is_control ? "%s/thole" : "%s/lib/thole/edge", options_.binaries.text);
        const char** at = arguments;
        *at++ = program.text;
        if (is_control) *at++ = "control";
        for (const char* argument : {"--run", options_.run.text, "--data", options_.data.text})
            *at++ = argument;
        *at = nullptr;
        const ParkedEntry* const socket =
            parked_.find(is_control ? ParkedKind::ApiSocket : ParkedKind::EdgeSocket, 0);
        inherited = socket == nullptr ? -1 : socket->fd;
    }
    const std::int64_t now_ns = now_nanoseconds();
    FAULT_POINT("role, not started");
    const pid_t child = slots_.spawn_role(role, arguments, inherited);
    FAULT_POINT("role, started");
    if (pair[1] >= 0) ::close(pair[1]);
    if (child == 0) {
        if (pair[0] >= 0) ::close(pair[0]);
        row.next_ns = now_ns + restart_delay_ns(++row.crashes);
        return false;
    }
    if (pair[0] >= 0) new_link_ = pair[0];
    row.starts += 1;
    row.started_ns = row.changed_ns = now_ns;
    row.event = wire::RoleEvent::Running;
    row.silence.restart(now_ns);
    changed_ |= 1U << role;
    return true;
}

int RoleTable::take_new_link() { return std::exchange(new_link_, -1); }

bool RoleTable::stop(Stop how) {
    is_stopping_ = true;
    const bool asks = how == Stop::Ask && !std::exchange(has_asked_, true);
    bool none = true;
    for (std::uint32_t role = kControl; role < wire::kRoleSlots; ++role) {
        const wire::SlotStatus status = slots_.status(role);
        // One that was just forked counts: it would run on after us.
        if (status == wire::SlotStatus::Starting) none = false;
        // The heir of one that has ended may be about to serve.
        const std::uint32_t holder = holder_of(role);
        if (status != wire::SlotStatus::Running && holder == 0) continue;
        none = false;
        if (how == Stop::Force) {
            replace(role);
        } else if (role == kEdge) {  // Again, as an heir may have taken its place.
            signal(role, wire::kSignalEndOfLineage);
        } else if (asks) {
            signal(role, SIGTERM);
        }
    }
    return none;
}

bool RoleTable::state(std::uint32_t role, wire::RoleState& state) const {
    const Row& row = rows_[role];
    if (!row.wanted) return false;
    state.role = role;
    state.event = row.event;
    state.pid = slots_.state(role).pid;
    state.wait_status = row.wait_status;
    state.starts = row.starts;
    state.crashes = row.crashes;
    state.time = row.changed_ns;
    return true;
}

}  // namespace thole::keeper
