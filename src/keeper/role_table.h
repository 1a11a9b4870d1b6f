// The roles keeper runs besides instances: watch, control, edge. Starts them, counts how they end,
// kills the silent.
#pragma once

#include "keeper/options.h"
#include "keeper/parked.h"
#include "keeper/roles.h"
#include "keeper/slots.h"

namespace thole::keeper {

class RoleTable {
public:
    RoleTable(const Options& options, Slots& slots, Parked& parked)
        : options_(options), slots_(slots), parked_(parked) {}

    // Every turn: starts what should run, kills what is silent. Bits of the roles that changed.
    std::uint32_t turn(std::int64_t now_ns, const wire::TicksPage& ticks);
    // The process of a role ended.
    void ended(std::uint32_t role, std::int64_t now_ns);
    // From now on nothing is started; SIGTERM goes to all, once (to the edge
    // what also ends its holder), or SIGKILL. True once none runs.
    enum class Stop { Ask, Force };
    bool stop(Stop how);
    // Killed, and its successor; the next one starts as after any death from outside.
    void replace(std::uint32_t role);
    // Who has the role's socket: its process, or, where that is dead, who becomes it; pid 0:
    // nobody.
    wire::SlotClaim who_listens(std::uint32_t role);
    // Since the last turn; nothing where this role is not keeper's to run.
    bool state(std::uint32_t role, wire::RoleState& state) const;
    // Starts this program beside the edge that serves, with this descriptor; nullptr, or why not.
    const char* upgrade(const char* program, int link, std::int64_t now_ns);
    // The link to a watch that was just started, or -1.
    int take_new_link();

private:
    struct Row {
        bool wanted = false;
        std::uint32_t starts = 0;
        std::uint32_t crashes = 0;
        std::int64_t started_ns = 0;
        std::int64_t next_ns = 0;
        std::int64_t changed_ns = 0;
        std::int32_t wait_status = 0;
        wire::RoleEvent event = wire::RoleEvent::Waiting;
        Silence silence;
        HeirWait heir;
    };
    bool start(std::uint32_t role);
    std::uint32_t holder_of(std::uint32_t role);
    void end_late_upgrade(std::int64_t now_ns);
    void signal(std::uint32_t role, int signal);
    bool successor_lives(std::uint32_t role, std::int64_t waited_ns);

    const Options& options_;
    Slots& slots_;
    Parked& parked_;
    Row rows_[wire::kRoleSlots];
    std::uint32_t changed_ = 0;
    int new_link_ = -1;
    bool is_stopping_ = false;
    bool has_asked_ = false;
    bool is_open_ = false;
};

}  // namespace thole::keeper
