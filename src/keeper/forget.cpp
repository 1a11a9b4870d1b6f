// What an ended instance left: looked for, killed, and then its slot is free.
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "keeper/remains.h"
#include "keeper/slots.h"
#include "keeper/table.h"
#include "os/fault_point.h"

namespace thole::keeper {
namespace {

constexpr std::int64_t kRemainsNs = 20'000'000;
// Without cgroups each look is one at all processes.
constexpr std::int64_t kScanNs = 100'000'000;
// What is killed is gone within moments, but for one that the kernel itself holds (a disk that
// hangs): its slot is not held up for ever.
constexpr std::int64_t kGoneNs = 5'000'000'000;
constexpr std::int64_t kKilledNs = 5'000'000;  // What was killed is looked for again so soon.

}  // namespace

// All that belongs to the slot's last process, which may have ended.
void Slots::signal_group(std::uint32_t slot, int signal) {
    if (status(slot) == wire::SlotStatus::Free) return;
    const bool done =
        signal == SIGKILL ? cgroups_.kill_all(slot) : cgroups_.signal_all(slot, signal);
    // Every child of keeper leads a session of its own.
    if (!done) signal_session(read_claim(record(slot).claim), signal);
}

const char* Slots::forget(wire::SlotRef at) {
    if (at.slot < wire::kRoleSlots || at.slot >= wire::kSlotsMax) return "there is no such slot";
    wire::SlotRecord& slot_record = record(at.slot);
    const wire::SlotClaim claim = read_claim(slot_record.claim);
    if (claim.generation != at.generation) return "this generation is not here";
    if (status(at.slot) == wire::SlotStatus::Free) return nullptr;
    if (status(at.slot) != wire::SlotStatus::Ended) return "it has not ended";
    FAULT_POINT("forget, nothing killed");
    std::int64_t& forgotten_ns = private_[at.slot].forgotten_ns;
    if (forgotten_ns == 0) forgotten_ns = now_nanoseconds();
    make_free(at.slot, now_nanoseconds());
    return nullptr;
}

// Of one that is to be forgotten: not before nothing of it runs, or its successor would share its
// state with it.
void Slots::make_free(std::uint32_t slot, std::int64_t now_ns) {
    Private& own = private_[slot];
    if (has_remains(slot)) {
        signal_group(slot, SIGKILL);
        if (has_remains(slot) && now_ns - own.forgotten_ns < kGoneNs) {
            next_turn_ns_ = std::min(next_turn_ns_, kKilledNs);
            return;
        }
    }
    FAULT_POINT("forget, not marked");
    own.forgotten_ns = 0;
    own.remains = wire::Remains::Unknown;
    wire::SlotRecord& slot_record = record(slot);
    slot_record.flags |= wire::kForgotten;
    FAULT_POINT("forget, image there");
    Path path;
    image_path({slot, read_claim(slot_record.claim).generation}, path);
    ::unlink(path.text);
    for (Spool& spool : own.spools) close_spool(spool);
    own.cleans = !(cgroups_.is_empty(slot) && cgroups_.remove(slot));
    mark(slot);
}

// Once nobody was there nobody comes any more: by then its number may be another's.
bool Slots::has_remains(std::uint32_t slot) const {
    if (private_[slot].remains == wire::Remains::None) return false;
    if (cgroups_.has(slot)) return !cgroups_.is_empty(slot);
    return session_lives(read_claim(table_->slots[slot].claim));
}

void Slots::look_for_remains(std::uint32_t slot) {
    private_[slot].remains = has_remains(slot) ? wire::Remains::Some : wire::Remains::None;
    mark(slot);
}

void Slots::look_again(std::uint32_t slot, std::int64_t now_ns, int& scans_left) {
    const bool scans = !cgroups_.has(slot);
    next_turn_ns_ = std::min(next_turn_ns_, scans ? kScanNs : kRemainsNs);
    if (scans && scans_left-- <= 0) return;
    if (private_[slot].forgotten_ns != 0) return make_free(slot, now_ns);
    if (has_remains(slot)) return;
    private_[slot].remains = wire::Remains::None;
    mark(slot);
}

}  // namespace thole::keeper
