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
#include "edge/holder.h"
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
    segment.lineage.fetch_add(1);
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
    std::uint32_t lineage;
    Room room;
};

// All that this process has besides the segment.
struct Serving {
    Serving(Segment& segment, Room room) : runtime(segment, room) {}
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
    auto* const serving = new Serving(*life.segment, life.room);
    Runtime& runtime = serving->runtime;
    for (std::uint32_t i = 0; i < kWorkers; ++i)
        runtime.workers.push_back(std::make_unique<Worker>(runtime, i));
    serving->holder.emplace(holder_pid, Awaited{own_pidfd, life.lineage},
                            [&life, serving] { live_instead_of(serving, life); });
    std::vector<int> keep{own_pidfd, serving->holder->descriptor()};
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
    adopt_all(runtime, keep);
    FAULT_POINT("heir, all adopted");
    control.start_disk();
    for (const std::unique_ptr<Worker>& worker : runtime.workers) {
        std::thread([&worker] { worker->run(); }).detach();
    }
    control.activate_last();
    control.run();
}

// As the edge, and in its holder as whoever becomes the edge next.
[[noreturn]] void live(const Life& life) {
    while (true) {
        ::prctl(PR_SET_NAME, "edge");
        life.segment->epoch.fetch_add(1);
        // Before the clone: its holder waits on it.
        const int own_pidfd = static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0));
        CHECK(own_pidfd >= 0);
        const long holder = clone_holder();
        CHECK(holder >= 0);
        if (holder > 0) serve(life, own_pidfd, static_cast<std::uint32_t>(holder));
        wait_for_death({own_pidfd, life.lineage}, *life.segment);
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

}  // namespace

// Returns only where nothing could be begun.
Status run_edge(const EdgeOptions& options) {
    ::signal(SIGPIPE, SIG_IGN);
    // Workers allocate nothing once they are warm: arenas of their own would only take memory.
    ::mallopt(M_ARENA_MAX, 1);
    ::fcntl(kControlListener, F_SETFD, FD_CLOEXEC);
    prepare_descriptors();
    Segment* segment = nullptr;
    {
        KeeperLink keeper = TRY(KeeperLink::connect(options.run_folder));
        segment = TRY(open_segment(keeper));
    }
    segment->control_listener = kControlListener;
    end_lineage_when_told(*segment);
    live({segment, options, Ticks(options.run_folder), segment->lineage.load(),
          room_in(memory_max(options))});
}

}  // namespace thole::edge
