#include "keeper/slots.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "keeper/roles.h"
#include "keeper/table.h"
#include "os/fault_point.h"

namespace thole::keeper {
namespace {

// How long watch is given to say how a process ended that it, not we, could wait for.
constexpr std::int64_t kAskWatchNs = 1'000'000'000;

constexpr std::int64_t kAwaitingNs = 5'000'000;
constexpr std::int64_t kFloodNs = 50'000'000;
constexpr int kDescriptorsSpared = 64;  // By spools; for clients, children, and looks at /proc.
constexpr int kScansMax = 16;  // Of all processes in one turn, or keeper itself would be silent.

// An image in memory, for as long as a spawn takes. Read, not mapped: a file that is cut short
// under a mapping kills whoever looks.
class LoadedImage {
public:
    explicit LoadedImage(const char* path) {
        const int fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        struct stat info {};
        if (fd < 0) return;
        if (::fstat(fd, &info) == 0 && info.st_size > 0 && info.st_size <= wire::kImageBytesMax) {
            size_ = static_cast<std::size_t>(info.st_size);
            at_ =
                ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (at_ == MAP_FAILED) at_ = nullptr;
        }
        const bool whole = at_ != nullptr && ::read(fd, at_, size_) == static_cast<ssize_t>(size_);
        ::close(fd);
        good_ = whole && view_.open({static_cast<const char*>(at_), size_});
    }
    LoadedImage(const LoadedImage&) = delete;
    ~LoadedImage() {
        if (at_ != nullptr) ::munmap(at_, size_);
    }
    const wire::ImageView* view() const { return good_ ? &view_ : nullptr; }

private:
    void* at_ = nullptr;
    std::size_t size_ = 0;
    wire::ImageView view_;
    bool good_ = false;
};

bool is_over(const wire::SlotRecord& record, const wire::SlotClaim& claim) {
    return __atomic_load_n(&record.ended_generation, __ATOMIC_ACQUIRE) == claim.generation;
}

}  // namespace

bool Slots::open(const Setting& setting) {
    setting_ = setting;
    table_ = map_table(setting.run_folder, MakeTable::Yes);
    if (table_ == nullptr) return false;
    cgroups_.open(setting.cgroup_name);
    table_->header.keepers += 1;
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    spools_below_ =
        static_cast<int>(std::min<rlim_t>(files.rlim_cur, 1U << 30U)) - kDescriptorsSpared;
    return ::pipe2(claims_, O_CLOEXEC | O_NONBLOCK) == 0;
}

void Slots::image_path(wire::SlotRef at, Path& path) const {
    path.set("%s/images/%u.%u", setting_.run_folder, at.slot, at.generation);
}

wire::SlotStatus Slots::status(std::uint32_t slot) const {
    const wire::SlotRecord& record = table_->slots[slot];
    const wire::SlotClaim claim = read_claim(record.claim);
    if (claim.generation == 0) return wire::SlotStatus::Free;
    if (is_over(record, claim)) {
        return (record.flags & wire::kForgotten) != 0 ? wire::SlotStatus::Free
                                                      : wire::SlotStatus::Ended;
    }
    return claim.pid == 0 ? wire::SlotStatus::Starting : wire::SlotStatus::Running;
}

wire::SlotState Slots::state(std::uint32_t slot) const {
    const wire::SlotRecord& record = table_->slots[slot];
    const wire::SlotClaim claim = read_claim(record.claim);
    wire::SlotState state{};
    state.at = {slot, claim.generation};
    state.status = status(slot);
    state.pid = claim.pid == wire::kNobody ? 0 : claim.pid;
    state.start_time = claim.start_time;
    if (state.status == wire::SlotStatus::Ended) {
        state.wait_status = record.wait_status;
        state.flags = record.flags;
        state.oom_kills = record.oom_kills;
        state.remains = private_[slot].remains;
        state.time = record.ended_time;
    }
    state.spool_dropped_bytes[0] = record.spool_dropped_bytes[0];
    state.spool_dropped_bytes[1] = record.spool_dropped_bytes[1];
    return state;
}

// From now on only this generation's child can claim the slot.
bool Slots::arm(wire::SlotRef at) {
    wire::SlotRecord& slot_record = record(at.slot);
    const wire::SlotClaim seen = read_claim(slot_record.claim);
    if (!exchange_claim(slot_record.claim, seen, {at.generation, 0, 0})) return false;
    FAULT_POINT("arm, flags of the last generation");
    // After the swap: before it they still say how the generation before ended.
    slot_record.flags = 0;
    return true;
}

pid_t Slots::start(std::uint32_t slot, ChildPlan& plan) {
    plan.record = &record(slot);
    plan.lock = setting_.lock;
    plan.claims_pipe = claims_[1];
    const pid_t child = ::fork();
    if (child == 0) become(plan);
    if (child < 0) {
        const auto why = static_cast<std::int32_t>(
            static_cast<unsigned>(wire::SpawnStep::Fork) << 16U | static_cast<unsigned>(errno));
        finish(slot, plan.at.generation,
               {.wait_status = why, .flags = wire::kSpawnFailed, .oom_kills = 0});
        return 0;
    }
    FAULT_POINT("spawn, forked");
    private_[slot].child = child;
    mark(slot);
    return child;
}

const char* Slots::spawn(wire::SlotRef at) {
    if (at.slot < wire::kRoleSlots || at.slot >= wire::kSlotsMax) return "there is no such slot";
    const wire::SlotClaim seen = read_claim(record(at.slot).claim);
    if (seen.generation == at.generation) {
        mark(at.slot);  // Asked again: the answer is what became of it.
        return nullptr;
    }
    if (at.generation < seen.generation) return "this generation is over";
    if (status(at.slot) != wire::SlotStatus::Free) {
        mark(at.slot);  // Who asks does not know by whom.
        return "the slot is taken";
    }
    Path path;
    image_path(at, path);
    const LoadedImage image(path.text);
    if (image.view() == nullptr) return "its image is missing or damaged";
    FAULT_POINT("spawn, not armed");
    if (!arm(at)) return "the slot changed at this moment";
    FAULT_POINT("spawn, armed");
    private_[at.slot].remains = wire::Remains::Unknown;
    open_spools(at.slot, *image.view());
    ChildPlan plan;
    plan.at = at;
    plan.image = image.view();
    plan.out = private_[at.slot].spools[0].fd;
    plan.err = private_[at.slot].spools[1].fd;
    if (image.view()->cgroup()[0] != '\0' && cgroups_.make(at.slot)) plan.cgroups = &cgroups_;
    // A folder left by the generation before goes when this one does not live in it.
    private_[at.slot].cleans = plan.cgroups == nullptr && cgroups_.has(at.slot);
    FAULT_POINT("spawn, about to fork");
    start(at.slot, plan);
    keep_spools(at.slot);
    return nullptr;
}

void Slots::open_spools(std::uint32_t slot, const wire::ImageView& image) {
    Private& own = private_[slot];
    const char* const paths[2] = {image.out(), image.err()};
    for (int i = 0; i < 2; ++i) {
        close_spool(own.spools[i]);
        if (paths[i][0] == '\0' || !open_spool(paths[i], own.spools[i])) continue;
        adopt_spool(own.spools[i], record(slot).spool_dropped_bytes[i]);
        if (own.spools[i].holes == Holes::Unknown && !std::exchange(has_told_holes_, true))
            std::fprintf(stderr,
                         "keeper: the file system of %s knows no holes: what services print is "
                         "emptied after each %llu MiB, not trimmed\n",
                         paths[i], static_cast<unsigned long long>(kSpoolBytesMax >> 20U));
        // So that it may open /dev/stdout again, as many programs do.
        if (::geteuid() != 0) continue;
        [[maybe_unused]] const int owned =
            ::fchown(own.spools[i].fd, image.header().uid, image.header().gid);
    }
}

// Where descriptors are short, what services print is not trimmed; it is written all the same.
void Slots::keep_spools(std::uint32_t slot) {
    for (Spool& spool : private_[slot].spools) {
        if (spool.fd < spools_below_) continue;
        close_spool(spool);
        if (!std::exchange(has_told_descriptors_, true))
            std::fprintf(stderr,
                         "keeper: only %d files may be open: what some services print is not "
                         "trimmed\n  try: ulimit -Hn 524288\n",
                         spools_below_ + kDescriptorsSpared);
    }
}

pid_t Slots::spawn_role(std::uint32_t slot, const char* const* arguments, int inherited) {
    const wire::SlotClaim seen = read_claim(record(slot).claim);
    ChildPlan plan;
    plan.at = {slot, seen.generation + 1};
    plan.arguments = arguments;
    plan.inherited = inherited;
    plan.out = plan.err = 2;  // keeper's log
    if (!arm(plan.at)) return 0;
    return start(slot, plan);
}

// Of an instance; a role has no cgroup of its own.
void Slots::note_oom_kills(std::uint32_t slot, std::uint32_t& count, std::uint32_t& flags) const {
    if (slot >= wire::kRoleSlots && cgroups_.read_oom_kills(slot, count)) flags |= wire::kOomKnown;
}

void Slots::finish(std::uint32_t slot, std::uint32_t generation, Ending ending) {
    note_oom_kills(slot, ending.oom_kills, ending.flags);
    FAULT_POINT("end, not recorded");
    record_end(record(slot), generation, ending);
    FAULT_POINT("end, recorded");
    mark(slot);
}

// The slot whose process this is: started by us, or a role's successor, who claimed the slot
// itself and is our child by CLONE_PARENT.
std::uint32_t Slots::slot_of(pid_t pid) const {
    for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot) {
        if (private_[slot].child == pid) return slot;
    }
    for (std::uint32_t slot = 0; slot < wire::kRoleSlots; ++slot) {
        if (read_claim(table_->slots[slot].claim).pid == static_cast<std::uint32_t>(pid))
            return slot;
    }
    return wire::kSlotsMax;
}

std::uint32_t Slots::ended(pid_t pid, std::int32_t wait_status) {
    const std::uint32_t slot = slot_of(pid);
    if (slot < wire::kSlotsMax) {
        private_[slot].child = 0;
        wire::SlotRecord& slot_record = record(slot);
        wire::SlotClaim claim = read_claim(slot_record.claim);
        // It ended before it claimed: nobody of this generation comes any more.
        if (claim.pid == 0) {
            exchange_claim(slot_record.claim, claim, {claim.generation, wire::kNobody, 0});
            claim = read_claim(slot_record.claim);
        } else if (claim.pid != static_cast<std::uint32_t>(pid)) {
            mark(slot);  // Its successor is there already: the slot never stood empty.
            return slot;
        }
        const bool never_ran =
            (slot_record.flags & wire::kSpawnFailed) != 0 && WIFEXITED(wait_status);
        finish(slot, claim.generation,
               {.wait_status = never_ran ? slot_record.wait_status : wait_status,
                .flags = wire::kExitKnown | (never_ran ? wire::kSpawnFailed : 0U),
                .oom_kills = 0});
    }
    return slot;
}

// Also of one that has ended: what it left behind may still write, and what the keeper before us
// punched out and did not live to count is to be counted.
void Slots::adopt_spools(wire::SlotRef at) {
    if (at.slot < wire::kRoleSlots || status(at.slot) == wire::SlotStatus::Free) return;
    Path path;
    image_path(at, path);
    const LoadedImage image(path.text);
    if (image.view() == nullptr) return;
    open_spools(at.slot, *image.view());
    keep_spools(at.slot);
}

void Slots::adopt_one(std::uint32_t slot) {
    wire::SlotRecord& slot_record = record(slot);
    wire::SlotClaim claim = read_claim(slot_record.claim);
    if (claim.generation == 0) return;
    if (is_over(slot_record, claim)) {
        if (status(slot) == wire::SlotStatus::Ended)
            note_oom_kills(slot, slot_record.oom_kills, slot_record.flags);
        return;
    }
    if (claim.pid == 0) {
        // Its keeper died before the child came. It may still come: whoever swaps first has
        // decided.
        FAULT_POINT("adopt, unclaimed");
        if (exchange_claim(slot_record.claim, claim, {claim.generation, wire::kNobody, 0})) {
            FAULT_POINT("adopt, taken from the late");
            const auto why =
                static_cast<std::int32_t>(static_cast<unsigned>(wire::SpawnStep::Claim) << 16U |
                                          static_cast<unsigned>(ECANCELED));
            finish(slot, claim.generation,
                   {.wait_status = why, .flags = wire::kSpawnFailed, .oom_kills = 0});
            return;
        }
        claim = read_claim(slot_record.claim);
    }
    Private& own = private_[slot];
    if (own.pidfd >= 0) ::close(std::exchange(own.pidfd, -1));
    own.watched = claim;
    own.asked_ns = 0;  // How the one before ended is nobody's question any more.
    if (hold(slot)) return mark(slot);
    own.asked_ns = now_nanoseconds();  // watch may be about to say how it ended.
}

// Watches whom `watched` names; false where nobody of that name lives. Where no descriptor is left
// for it, each turn asks again: one that was taken for dead would be started a second time.
bool Slots::hold(std::uint32_t slot) {
    Private& own = private_[slot];
    own.is_unheld = false;
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, own.watched.pid, 0));
    const bool is_gone = pidfd < 0 && errno == ESRCH;
    // The start time is looked at after the pidfd is held: from then on the pid cannot be
    // another's.
    if (is_gone || !is_alive(own.watched)) {
        if (pidfd >= 0) ::close(pidfd);
        return false;
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = setting_.pidfd_tag | slot;
    if (pidfd >= 0 && ::epoll_ctl(setting_.epoll, EPOLL_CTL_ADD, pidfd, &event) == 0) {
        own.pidfd = pidfd;
        return true;
    }
    if (pidfd >= 0) ::close(pidfd);
    own.is_unheld = true;
    return true;
}

void Slots::adopt() {
    for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot) {
        tick(*setting_.ticks, wire::Role::Keeper);
        adopt_one(slot);
        // The keeper before us may have died between the end of an instance and its cgroup's.
        const bool is_free = status(slot) == wire::SlotStatus::Free;
        if (slot < wire::kRoleSlots || !is_free || !cgroups_.has(slot)) continue;
        cgroups_.kill_all(slot);
        private_[slot].cleans = true;
    }
    // Where descriptors are short, the living come first.
    for (std::uint32_t slot = wire::kRoleSlots; slot < wire::kSlotsMax; ++slot) {
        tick(*setting_.ticks, wire::Role::Keeper);
        adopt_spools({slot, read_claim(record(slot).claim).generation});
    }
}

// A role's successor claims the slot itself, whoever its parent is.
void Slots::adopt_successor(std::uint32_t role) {
    const wire::SlotClaim claim = read_claim(record(role).claim);
    const Private& own = private_[role];
    const bool is_known =
        claim.pid == static_cast<std::uint32_t>(own.child) ||
        (claim.pid == own.watched.pid && claim.generation == own.watched.generation);
    if (is_known || claim.pid == 0 || claim.pid == static_cast<std::uint32_t>(::getpid())) return;
    adopt_one(role);
}

void Slots::adopted_ended(std::uint32_t slot) {
    Private& own = private_[slot];
    if (own.pidfd < 0) return;
    // Events of one turn were collected at once: this one may be of the one before, whose successor
    // was adopted meanwhile. Taken for dead, it would go on beside another edge.
    if (is_alive(own.watched)) return;
    ::close(std::exchange(own.pidfd, -1));
    lost(slot);
    if (own.asked_ns != 0) turn(own.asked_ns);
}

// Whom `watched` names has ended.
void Slots::lost(std::uint32_t slot) {
    Private& own = private_[slot];
    mark(slot);
    // Its successor is our own child, which is reaped.
    if (own.child != 0) return;
    const wire::SlotClaim claim = read_claim(record(slot).claim);
    if (is_over(record(slot), claim)) return;
    if (claim.generation != own.watched.generation) return adopt_one(slot);
    // Only its parent can say how it ended, and only watch tells us. A zombie still names its
    // parent.
    const std::uint32_t parent = parent_of(claim.pid);
    const std::uint32_t watch =
        read_claim(record(static_cast<std::uint32_t>(wire::Role::Watch)).claim).pid;
    if (parent != 0 && parent != watch && parent != static_cast<std::uint32_t>(::getpid())) {
        finish(slot, claim.generation, {.wait_status = 0, .flags = 0, .oom_kills = 0});
        return;
    }
    own.asked_ns = now_nanoseconds();
}

// Adopted and ended: watch may still write how; after a while nobody will.
void Slots::await_end(std::uint32_t slot, std::int64_t now_ns) {
    Private& own = private_[slot];
    const wire::SlotClaim claim = read_claim(record(slot).claim);
    const bool over = is_over(record(slot), claim);
    const bool succeeded = claim.generation != own.watched.generation;
    const bool too_late = now_ns - own.asked_ns > kAskWatchNs;
    // watch, which wrote how it ended, does not look into cgroups.
    if (over) note_oom_kills(slot, record(slot).oom_kills, record(slot).flags);
    if (over || succeeded) mark(slot);
    if (!over && !succeeded && too_late) {
        finish(slot, claim.generation, {.wait_status = 0, .flags = 0, .oom_kills = 0});
    }
    if (over || succeeded || too_late) own.asked_ns = 0;
    if (own.asked_ns != 0) next_turn_ns_ = kAwaitingNs;
}

void Slots::read_claims() {
    wire::SlotRef at{};
    while (::read(claims_[0], &at, sizeof(at)) == static_cast<ssize_t>(sizeof(at))) {
        if (at.slot < wire::kSlotsMax) mark(at.slot);
    }
}

const char* Slots::signal(const wire::SignalRequest& request) {
    if (request.at.slot < wire::kRoleSlots || request.at.slot >= wire::kSlotsMax)
        return "there is no such slot";
    if (request.signal < 0 || request.signal >= NSIG) return "there is no such signal";
    const wire::SlotClaim claim = read_claim(record(request.at.slot).claim);
    if (claim.generation != request.at.generation) return "this generation is not here";
    if (request.scope == wire::SignalScope::All) {
        if (request.signal != 0) signal_group(request.at.slot, request.signal);
        if (status(request.at.slot) == wire::SlotStatus::Ended) look_for_remains(request.at.slot);
        return nullptr;
    }
    if (status(request.at.slot) != wire::SlotStatus::Running) return "it is not running";
    // Our own child cannot be another process before we reap it; an adopted one is held by its
    // pidfd.
    const Private& own = private_[request.at.slot];
    if (own.pidfd >= 0) {
        ::syscall(SYS_pidfd_send_signal, own.pidfd, request.signal, nullptr, 0);
    } else if (own.child != 0) {
        ::kill(own.child, request.signal);
    } else if (own.is_unheld && is_alive(own.watched)) {
        ::kill(static_cast<pid_t>(own.watched.pid), request.signal);
    }
    return nullptr;
}

void Slots::turn(std::int64_t now_ns) {
    next_turn_ns_ = kTurnNs;
    int scans_left = kScansMax;
    for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot) {
        Private& own = private_[slot];
        tick(*setting_.ticks, wire::Role::Keeper);
        if (own.is_unheld && !hold(slot)) lost(slot);
        if (own.asked_ns != 0) await_end(slot, now_ns);
        if (own.remains == wire::Remains::Some || own.forgotten_ns != 0)
            look_again(slot, now_ns, scans_left);
        if (slot < wire::kRoleSlots) adopt_successor(slot);
        for (int i = 0; i < 2; ++i) {
            std::uint64_t& dropped = record(slot).spool_dropped_bytes[i];
            const std::uint64_t before = dropped;
            const Trimmed done = trim_spool(own.spools[i], dropped);
            if (dropped != before) mark(slot);
            if (done == Trimmed::Flood) next_turn_ns_ = std::min(next_turn_ns_, kFloodNs);
        }
        if (!own.cleans) continue;
        if (cgroups_.is_empty(slot) && cgroups_.remove(slot)) own.cleans = false;
    }
}

bool Slots::kill_everything() {
    bool all_gone = true;
    for (std::uint32_t slot = wire::kRoleSlots; slot < wire::kSlotsMax; ++slot) {
        const wire::SlotStatus now = status(slot);
        if (now == wire::SlotStatus::Running) signal_group(slot, SIGKILL);
        // Forked, and has not claimed its slot yet: no image runs there.
        if (now == wire::SlotStatus::Starting && private_[slot].child > 1)
            ::kill(private_[slot].child, SIGKILL);
        if (now == wire::SlotStatus::Running || now == wire::SlotStatus::Starting) all_gone = false;
        if (now == wire::SlotStatus::Ended)
            forget({slot, read_claim(record(slot).claim).generation});
        if (private_[slot].cleans || private_[slot].forgotten_ns != 0) all_gone = false;
    }
    return all_gone;
}

}  // namespace thole::keeper
