#include "edge/edge.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

#include "base/check.h"
#include "edge/adopt.h"
#include "edge/control_link.h"
#include "edge/faults.h"
#include "edge/hand_over_link.h"
#include "edge/holder.h"
#include "edge/inherit.h"
#include "edge/keeper_link.h"
#include "edge/lineage.h"
#include "edge/memory_limit.h"
#include "edge/soundness.h"
#include "edge/ticks.h"
#include "edge/worker.h"
#include "os/fault_point.h"
#include "os/linux_files.h"

namespace thole::edge {
namespace {

constexpr int kControlListener = 3;
constexpr std::size_t kProcTextMax = 1024 * 1024;

Result<Segment*> map_segment(int fd) {
    void* const at = ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return from_errno(errno, "map the segment");
    ::madvise(at, sizeof(Segment), MADV_DONTDUMP);
    return static_cast<Segment*>(at);
}

void forget_listeners(Segment& segment) {
    for (ListenerEntry& listener : segment.listeners) {
        listener.id = 0;
        listener.fd = -1;
    }
    segment.listener_count = 0;
    segment.snapshot_version = 0;
}

// Faulted over too often, and then again by an edge that had begun anew on it: what stands there
// may be why.
constexpr std::uint32_t kGivenUpMax = 1;

bool can_serve_from(Segment& segment, int memory) {
    if (segment.magic != kSegmentMagic || segment.layout != kLayoutVersion) return false;
    begin_line(segment.lineage);
    // Descriptors of another process: found anew.
    segment.memory = memory;
    segment.control_listener = kControlListener;
    end_others_on(memory);
    forget_listeners(segment);
    return segment.faults.given_up <= kGivenUpMax && is_whole(segment);
}

// A new segment, parked with keeper; or the parked one, whose connections died with the last holder
// and whose endpoint table and counters go on. Where keeper does not say which of the two, neither:
// a new one beside the old would forget all that the edge has counted.
Result<Segment*> open_segment(KeeperLink& keeper) {
    Result<os::FileDescriptor> parked = keeper.take_segment();
    if (!parked.ok() && parked.error().code != Code::NotFound) return parked.error();
    if (parked.ok()) {
        Segment* const segment = TRY(map_segment(parked->get()));
        if (can_serve_from(*segment, parked->get())) {
            segment->memory = parked->release();
            // Whoever dies of this has given it up, too.
            ++segment->faults.given_up;
            count_what_died(*segment);
            --segment->faults.given_up;
            return segment;
        }
    }
    os::FileDescriptor memory(static_cast<int>(
        ::syscall(SYS_memfd_create, "thole-edge", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
    if (!memory.is_open()) return from_errno(errno, "make the segment");
    if (::ftruncate(memory.get(), sizeof(Segment)) != 0)
        return from_errno(errno, "size the segment");
    ::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    Segment* const segment = TRY(map_segment(memory.get()));
    for (EndpointEntry& entry : segment->endpoints) entry.bits = wire::kBitGone;
    forget_listeners(*segment);
    segment->layout = kLayoutVersion;
    segment->magic = kSegmentMagic;
    TRY(keeper.park_segment(memory.get()));
    segment->memory = memory.release();
    return segment;
}

struct Life {
    Segment* segment;
    EdgeOptions options;
    Ticks ticks;
    std::uint32_t line;
    Room room;
    Inheritance from = {};  // Where this line began beside another.
};

// All that this process has besides the segment.
struct Serving {
    explicit Serving(const Life& life)
        : runtime(*life.segment, life.room, life.options.run_folder) {}
    Runtime runtime;
    std::optional<Holder> holder;
    std::optional<ControlLink> control;
};

[[noreturn]] void live(const Life& life);

// In a holder that was cloned later: it is a copy of an edge that serves, and lets go of that
// memory before it builds its own. Descriptors are another thing: those that nobody needs any more
// are found and closed when it takes over.
[[noreturn]] void live_instead_of(const Serving* serving, const Life& life) {
    {
        const os::FileDescriptor::LeftOpen left_open;
        delete serving;
    }
    live(life);
}

// Serves as this process, whatever was before it. The holder must be cloned already.
[[noreturn]] void serve(const Life& life, int own_pidfd, std::uint32_t holder_pid) {
    life.segment->epoch.fetch_add(1);
    end_those_before(life.from);
    auto* const serving = new Serving(life);
    Runtime& runtime = serving->runtime;
    for (std::uint32_t i = 0; i < kWorkers; ++i)
        runtime.workers.push_back(std::make_unique<Worker>(runtime, i));
    serving->holder.emplace(holder_pid, Awaited{own_pidfd, life.line},
                            [&life, serving] { live_instead_of(serving, life); });
    std::vector<int> keep{own_pidfd, serving->holder->descriptor(), life.from.old_edge,
                          life.from.old_holder};
    const auto keep_too = [&keep](const std::vector<int>& more) {
        keep.insert(keep.end(), more.begin(), more.end());
    };
    for (const std::unique_ptr<Worker>& worker : runtime.workers) keep_too(worker->descriptors());
    ControlLink& control = serving->control.emplace(
        runtime, EdgeFolders{life.options.run_folder, life.options.data_folder}, life.ticks,
        *serving->holder);
    keep_too(control.descriptors());
    // What cannot be adopted without a fault counts as one, too: else it would go round for ever.
    catch_faults(*life.segment);
    FAULT_POINT("heir, nothing adopted");
    const Adopted adopted = adopt_all(runtime, keep);
    FAULT_POINT("heir, all adopted");
    if (life.from.old_pid != 0) control.tell_of_upgrade(life.from, adopted);
    control.start_disk();
    for (const std::unique_ptr<Worker>& worker : runtime.workers) {
        std::thread([&worker] { worker->run(); }).detach();
    }
    control.activate_last();
    control.run();
}

int own_pidfd() {
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
    CHECK(pidfd >= 0);
    return pidfd;
}

// As the edge, and in its holder as whoever becomes the edge next.
[[noreturn]] void live(const Life& life) {
    while (true) {
        ::prctl(PR_SET_NAME, "edge");
        // Before the clone: its holder waits on it.
        const int self = own_pidfd();
        const long holder = clone_holder();
        CHECK(holder >= 0);
        if (holder > 0) serve(life, self, static_cast<std::uint32_t>(holder));
        wait_for_death({self, life.line}, *life.segment);
    }
}

// The limit on descriptors bounds the connections; a shared table is grown once, before it is
// shared, because growing it later waits for the kernel each time.
void prepare_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, kDescriptorsMax + 64);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const int high =
        ::fcntl(kControlListener, F_DUPFD_CLOEXEC, static_cast<int>(limit.rlim_cur) - 1);
    if (high >= 0) ::close(high);
}

std::optional<std::uint64_t> memory_max(const EdgeOptions& options) {
    os::LinuxFiles files;
    const std::optional<std::uint64_t> limit = memory_limit([&files](const std::string& path) {
        return files.read(path, kProcTextMax).value_or(std::string());
    });
    if (options.memory_max == 0) return limit;
    return std::min(options.memory_max, limit.value_or(options.memory_max));
}

// Beside an edge that serves, until the segment says that this one does. Returns only where the old
// one goes on. The holder is cloned before, and keeper knows of it: from that one word on nobody
// else is there to take over from us.
Status take_over(const EdgeOptions& options) {
    os::FileDescriptor socket(kControlListener);
    move_away(socket);
    HandOverLink link(std::move(socket));
    KeeperLink keeper = TRY(KeeperLink::connect(options.run_folder));
    keeper.move_away();
    const Inheritance from = TRY(inherit(link));
    Segment* const segment = TRY(map_segment(from.memory));
    if (segment->magic != kSegmentMagic || segment->layout != kLayoutVersion || !is_whole(*segment))
        return corrupt("the segment that was handed over is none");
    end_lineage_when_told(*segment);
    static const Life life{segment,
                           options,
                           Ticks(options.run_folder),
                           line_of(from.offer) + 1,
                           room_in(memory_max(options)),
                           from};
    ::prctl(PR_SET_NAME, "edge");
    const int self = own_pidfd();
    const long holder = clone_holder();
    if (holder < 0) return from_errno(errno, "clone a holder");
    if (holder == 0) {
        wait_for_death({self, life.line}, *segment);
        live(life);
    }
    TRY(keeper.stand_by_as_edge(static_cast<std::uint32_t>(holder)));
    FAULT_POINT("take over, not yet");
    if (!take_offer(segment->lineage, from.offer))
        return unavailable("the old edge has taken it back");
    FAULT_POINT("take over, taken");
    serve(life, self, static_cast<std::uint32_t>(holder));
}

}  // namespace

// Returns only where nothing could be begun.
Status run_edge(const EdgeOptions& options) {
    ::signal(SIGPIPE, SIG_IGN);
    // Workers allocate nothing once they are warm: arenas of their own would only take memory.
    ::mallopt(M_ARENA_MAX, 1);
    ::fcntl(kControlListener, F_SETFD, FD_CLOEXEC);
    prepare_descriptors();
    if (options.is_beside) return take_over(options);
    Segment* segment = nullptr;
    {
        KeeperLink keeper = TRY(KeeperLink::connect(options.run_folder));
        segment = TRY(open_segment(keeper));
    }
    segment->control_listener = kControlListener;
    end_lineage_when_told(*segment);
    live({segment, options, Ticks(options.run_folder), line_of(segment->lineage.load()),
          room_in(memory_max(options))});
}

}  // namespace thole::edge
