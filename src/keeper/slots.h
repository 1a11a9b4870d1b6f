// Every process that keeper started or adopted, by slot. Owns the slot table, the pidfds and the
// spools. What changed since last asked stands in `changed`, for the clients to be told.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>

#include "keeper/cgroups.h"
#include "keeper/child.h"
#include "keeper/spool.h"
#include "wire/keeper.h"
#include "wire/slots.h"

namespace thole::keeper {

using SlotBits = std::array<std::uint64_t, wire::kSlotsMax / 64>;

class Slots {
public:
    struct Setting {
        const char* run_folder;
        const char* cgroup_name;
        int lock;
        int epoll;  // pidfds of adopted processes are added with `pidfd_tag | slot`.
        std::uint64_t pidfd_tag;
        wire::TicksPage* ticks;  // keeper's own goes on where a disk is slow at each of many slots.
    };
    // Maps or makes the table; false with errno set.
    bool open(const Setting& setting);
    // Finds again what a keeper before us left: watches the living, records the end of the dead.
    void adopt();
    void adopt_one(std::uint32_t slot);

    wire::SlotStatus status(std::uint32_t slot) const;
    wire::SlotState state(std::uint32_t slot) const;
    wire::SlotRecord& record(std::uint32_t slot) { return table_->slots[slot]; }
    const Cgroups& cgroups() const { return cgroups_; }
    wire::SlotTableHeader& header() { return table_->header; }
    SlotBits& changed() { return changed_; }
    int claims_pipe() const { return claims_[0]; }

    // The image of (slot, generation) becomes a process. nullptr, or why not.
    const char* spawn(wire::SlotRef at);
    // A role: argv instead of an image. 0, or the pid.
    pid_t spawn_role(std::uint32_t slot, const char* const* arguments, int inherited);
    // The process of this role has claimed another one's slot: here it counts as ended.
    void leave_role(std::uint32_t slot);
    const char* signal(const wire::SignalRequest& request);
    const char* forget(wire::SlotRef at);

    // A child of ours ended; the slot it held, or kSlotsMax.
    std::uint32_t ended(pid_t pid, std::int32_t wait_status);
    // An adopted process's pidfd is readable.
    void adopted_ended(std::uint32_t slot);
    void read_claims();
    // Every turn: exit statuses that watch may still write, spools, cgroups to be removed.
    void turn(std::int64_t now_ns);
    // When the next turn should come, after this one: sooner while something is awaited.
    std::int64_t next_turn_ns() const { return next_turn_ns_; }
    // Kills all instances and what they left; true once nothing is left.
    bool kill_everything();

private:
    struct Private {
        pid_t child = 0;            // Ours, not yet reaped.
        int pidfd = -1;             // Adopted ones.
        bool is_unheld = false;     // Adopted, and no pidfd was to be had: asked for each turn.
        wire::SlotClaim watched{};  // Whose pidfd that is, or was.
        std::int64_t asked_ns = 0;  // Adopted and ended; waiting for watch to write how. 0: not.
        wire::Remains remains = wire::Remains::Unknown;  // Of one that has ended.
        std::int64_t forgotten_ns = 0;                   // What remained was killed then. 0: not.
        Spool spools[2];
        bool cleans = false;  // Its cgroup is to be removed once empty.
    };
    bool arm(wire::SlotRef at);
    pid_t start(std::uint32_t slot, ChildPlan& plan);
    void finish(std::uint32_t slot, std::uint32_t generation, struct Ending ending);
    void open_spools(std::uint32_t slot, const wire::ImageView& image);
    void adopt_spools(wire::SlotRef at);
    void note_oom_kills(std::uint32_t slot, std::uint32_t& count, std::uint32_t& flags) const;
    void mark(std::uint32_t slot) { changed_[slot / 64] |= std::uint64_t{1} << (slot % 64); }
    void keep_spools(std::uint32_t slot);
    void adopt_successor(std::uint32_t role);
    bool hold(std::uint32_t slot);
    void lost(std::uint32_t slot);
    void await_end(std::uint32_t slot, std::int64_t now_ns);
    void signal_group(std::uint32_t slot, int signal);
    bool has_remains(std::uint32_t slot) const;
    void look_for_remains(std::uint32_t slot);
    void make_free(std::uint32_t slot, std::int64_t now_ns);
    void look_again(std::uint32_t slot, std::int64_t now_ns, int& scans_left);
    std::uint32_t slot_of(pid_t pid) const;
    void image_path(wire::SlotRef at, Path& path) const;

    Setting setting_{};
    wire::SlotTable* table_ = nullptr;
    Cgroups cgroups_;
    int claims_[2] = {-1, -1};
    SlotBits changed_{};
    std::int64_t next_turn_ns_ = 0;
    bool has_told_holes_ = false;
    bool has_told_descriptors_ = false;
    int spools_below_ = 0;  // Descriptors from here on are for what cannot wait.
    Private private_[wire::kSlotsMax];
};

}  // namespace thole::keeper
