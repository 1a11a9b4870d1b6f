#include "edge/runtime.h"

#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <type_traits>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#include "base/check.h"
#include "edge/worker.h"
#include "model/defaults.h"
#include "os/fault_point.h"

namespace thole::edge {

namespace {

// Those of connections; of few, a quarter is kept free.
std::uint32_t descriptors_max() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const auto all = static_cast<std::uint32_t>(std::min<rlim_t>(limit.rlim_cur, kDescriptorsMax));
    return all - std::min(model::kOwnDescriptors, all / 4);
}

// Zeros are nobody's socket: each is made anew when its number is taken.
static_assert(std::is_trivially_destructible_v<Socket>);
Socket* map_sockets() {
    void* const at = ::mmap(nullptr, kDescriptorsMax * sizeof(Socket), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return static_cast<Socket*>(at);
}

}  // namespace

Runtime::Runtime(Segment& memory, Room room_for, std::string_view system)
    : segment(memory),
      room(room_for),
      own_via(system),
      descriptors(descriptors_max()),
      sockets(map_sockets()) {
    // Who wrote into the wrong place may have hit these, too; control says anew what is true.
    segment.listener_count = std::min(segment.listener_count.load(), kListenersMax);
    segment.service_count = std::min(segment.service_count.load(), kServicesMax);
    segment.routes_now = segment.routes_now % 2;
}

Runtime::~Runtime() { ::munmap(sockets, kDescriptorsMax * sizeof(Socket)); }

void Runtime::close_number(std::uint32_t fd) {
#ifdef __SANITIZE_THREAD__
    __tsan_release(&sockets[fd]);
#endif
    ::close(static_cast<int>(fd));
}

void Runtime::take_number([[maybe_unused]] std::uint32_t fd) {
#ifdef __SANITIZE_THREAD__
    __tsan_acquire(&sockets[fd]);
#endif
}

std::uint32_t peer_of(int fd, Socket& client) {
    if (client.peer == 0) {
        sockaddr_in at{};
        socklen_t size = sizeof(at);
        ::getpeername(fd, reinterpret_cast<sockaddr*>(&at), &size);
        client.peer = at.sin_addr.s_addr;
    }
    return client.peer;
}

std::uint64_t cookie_of(int fd) {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    return ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

void set_closing(int fd, Closing how) {
    const ::linger at_once{how == Closing::Reset ? 1 : 0, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

namespace {

void open_record(Record& record, const Record& next) {
    Record filled = next;
    filled.kind = Kind::Free;
    record = filled;
    FAULT_POINT("open, no kind");
    std::atomic_signal_fence(std::memory_order_seq_cst);
    record.kind = next.kind;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    FAULT_POINT("open, recorded");
}

}  // namespace

void open_upstream(Record& record, int fd, wire::SlotRef endpoint) {
    open_record(record, {.cookie = cookie_of(fd),
                         .state = state_of(0, kNoBlock),
                         .idle_in = 0,
                         .idle_out = 0,
                         .kind = Kind::Busy,
                         .ring = kNone,
                         .slot = endpoint.slot,
                         .generation = endpoint.generation,
                         .listener = 0,
                         .listener_place = 0,
                         .shut = 0,
                         .caller = Caller::NotAsked});
}

void open_client(Record& record, int fd, std::uint32_t listener, std::uint32_t listener_place) {
    open_record(record, {.cookie = cookie_of(fd),
                         .state = state_of(0, kNoBlock),
                         .idle_in = 0,
                         .idle_out = 0,
                         .kind = Kind::Client,
                         .ring = kNone,
                         .slot = kNone,
                         .generation = 0,
                         .listener = listener,
                         .listener_place = listener_place,
                         .shut = 0,
                         .caller = Caller::NotAsked});
}

std::string_view request_head_of(const Segment& segment, const Exchange& exchange) {
    const Flow& flow = exchange.request;
    if (flow.head >= kHeads || flow.head_bytes > kHeadBytes) return {};
    return {segment.heads[flow.head], flow.head_bytes};
}

}  // namespace thole::edge
