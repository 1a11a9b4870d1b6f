#include "edge/runtime.h"

#include <sys/socket.h>
#include <unistd.h>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#include "edge/worker.h"

namespace thole::edge {

Runtime::Runtime(Segment& memory) : segment(memory) {}
Runtime::~Runtime() = default;

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

std::uint64_t cookie_of(int fd) {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof(cookie);
    return ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

void set_closing(int fd, Closing how) {
    const ::linger at_once{how == Closing::Reset ? 1 : 0, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void open_record(Record& record, int fd, Kind kind, wire::SlotRef endpoint) {
    record.cookie = cookie_of(fd);
    record.ring = kNone;
    record.slot = endpoint.slot;
    record.generation = endpoint.generation;
    record.shut = 0;
    record.caller = Caller::NotAsked;
    record.commit = 0;
    Exchange& exchange = record.halves[0];
    exchange = Exchange{};
    exchange.upstream = exchange.slot = kNone;
    exchange.request.head = kNone;
    exchange.response.head = kNone;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    record.kind = kind;
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

std::string_view request_head_of(const Segment& segment, const Exchange& exchange) {
    const Flow& flow = exchange.request;
    if (flow.head >= kHeads || flow.head_bytes > kHeadBytes) return {};
    return {segment.heads[flow.head], flow.head_bytes};
}

}  // namespace thole::edge
