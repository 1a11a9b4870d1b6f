// A tunnel: bytes both ways, each way ended by itself (half-close), until both have ended.
#include <sys/socket.h>

#include "edge/worker.h"

namespace thole::edge {
namespace {

constexpr int kRoundsMax = 64;  // Of one tunnel in one turn, so that none starves the others.

// All has been passed on that will ever come from there.
bool is_done(const Flow& flow, const Socket& from, const Socket& to) {
    return from.has_ended && forwarded(flow, to.out) == from.in && head_left(flow, to.out) == 0;
}

// Says so once; saying it again after a takeover is harmless. Intent first: once both sides have
// ended, the kernel's state alone does not tell whether it was well.
void shut(std::uint32_t fd, Socket& socket, Record& record) {
    if (socket.is_shut) return;
    socket.is_shut = true;
    record.shut = kShutHalf;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    ::shutdown(static_cast<int>(fd), SHUT_WR);
}

}  // namespace

void Worker::tunnel(std::uint32_t fd) {
    const Exchange& now = current(runtime_.record(fd));
    const std::uint32_t up = now.upstream;
    Socket& client = runtime_.socket(fd);
    Socket& upstream = runtime_.socket(up);
    bool moved = true;
    for (int round = 0; moved && round < kRoundsMax; ++round) {
        moved = receive(fd, forwarded(now.request, upstream.out));
        moved = receive(up, forwarded(now.response, client.out)) || moved;
        moved = flush(now.request, fd, up) || moved;
        moved = flush(now.response, up, fd) || moved;
    }
    const bool client_done = is_done(now.request, client, upstream);
    const bool upstream_done = is_done(now.response, upstream, client);
    if (client.is_broken) return close_client(fd, wire::Outcome::ClientGone);
    if (upstream.is_broken) return close_client(fd, wire::Outcome::Reset);
    if (client_done) shut(up, upstream, runtime_.record(up));
    if (upstream_done) shut(fd, client, runtime_.record(fd));
    if (client_done && upstream_done) return close_client(fd, wire::Outcome::Informational);
    if (moved) again_.push_back(fd);
}

}  // namespace thole::edge
