// A tunnel: bytes both ways, each way ended by itself (half-close), until both have ended.
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "edge/worker.h"
#include "model/defaults.h"

namespace thole::edge {
namespace {

// So long after a tunnel's end control may say that its instance died.
constexpr std::int64_t kRememberedNs = 5'000'000'000;
constexpr int kRoundsMax = 64;  // Of one tunnel in one turn, so that none starves the others.

// All has been passed on that will ever come from there, or that we let through.
bool is_done(const Flow& flow, const Socket& from, const Socket& to) {
    const bool has_all =
        from.has_ended && forwarded(flow, to.out) == from.in && head_left(flow, to.out) == 0;
    if (flow.tail == Tail::None) return has_all;
    // It may have ended before the border at which we wanted to end it.
    return (has_all && from.in < flow.in_end) || is_complete(flow, to.out, from.in, Source::Open);
}

// It was to end between two frames, and its instance went in the middle of one.
bool is_torn(const Flow& flow, const Socket& from) {
    return flow.tail != Tail::None && from.has_ended && from.in < flow.in_end;
}

// Of a tunnel that we end (drains.cpp). Its client is told that no more comes only when it has
// answered, or has had the time to: the answer may be on its way.
bool awaits_answer(const Exchange& exchange) {
    return exchange.response.tail == Tail::CloseToClient &&
           exchange.request.framing == Framing::Frames && exchange.request.tail == Tail::None;
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
    const std::uint32_t up = exchange(fd).upstream;
    Socket& client = runtime_.socket(fd);
    Socket& upstream = runtime_.socket(up);
    if (client.ends_ns != 0 && now_ns_ >= client.ends_ns) end_tunnel(fd);
    bool moved = true;
    for (int round = 0; moved && round < kRoundsMax; ++round) {
        const Exchange& before = exchange(fd);
        moved = receive(fd, wanted_from(before.request, upstream.out, client.in));
        moved = receive(up, wanted_from(before.response, client.out, upstream.in)) || moved;
        follow_frames(fd, &Exchange::request);
        follow_frames(fd, &Exchange::response);
        moved = flush(exchange(fd).request, fd, up) || moved;
        moved = flush(exchange(fd).response, up, fd) || moved;
    }
    const Exchange& now = exchange(fd);
    const bool is_ended = now.response.tail != Tail::None;
    const bool client_done = is_done(now.request, client, upstream);
    const bool upstream_done = is_done(now.response, upstream, client);
    if (upstream_done && !client_done && !is_ended) client.outlived = true;
    if (client.is_broken)
        return close_client(fd, client.lost ? wire::Outcome::Reset : wire::Outcome::ClientGone);
    if (upstream.is_broken)
        return close_client(
            fd, is_ended && upstream_done ? wire::Outcome::Informational : wire::Outcome::Reset);
    if (upstream_done && is_torn(now.response, upstream))
        return close_client(fd, wire::Outcome::Reset);
    if (client_done) shut(up, upstream, runtime_.record(up));
    if (upstream_done && !awaits_answer(now)) shut(fd, client, runtime_.record(fd));
    if (is_ended ? client_done && upstream_done && may_close_ended(fd)
                 : client_done && upstream_done) {
        if (client.lost) return close_client(fd, wire::Outcome::Reset);
        if (client.outlived) remember_tunnel(fd);
        return close_client(fd, wire::Outcome::Informational);
    }
    if (moved) again_.push_back(fd);
}

// Its client has agreed, and its instance has, too, or had the time to.
bool Worker::may_close_ended(std::uint32_t fd) const {
    const Socket& client = runtime_.socket(fd);
    const Socket& upstream = runtime_.socket(exchange(fd).upstream);
    const std::int64_t limit_ns = 2 * model::kCloseAnswerLimit.count();
    return client.has_ended && (upstream.has_ended || now_ns_ - client.ends_ns > limit_ns);
}

// An end that an instance says and one that the kernel says for it when it dies look alike. Which
// one it was is known when control says that the instance is no more.
void Worker::remember_tunnel(std::uint32_t fd) {
    EndedTunnel& ended = ended_tunnels_[ended_tunnels_next_++ % ended_tunnels_.size()];
    ended.at_ns = now_ns_;
    ended.exchange = exchange(fd);
    const std::string_view head = request_head_of(segment_, ended.exchange);
    const std::string_view line =
        head.substr(0, std::min(head.find("\r\n"), sizeof(ended.line) - 3));
    std::memset(ended.line, 0, sizeof(ended.line));
    std::memcpy(ended.line, line.data(), line.size());
}

// Called when the endpoint table has changed.
void Worker::find_lost_tunnels() {
    const auto is_gone = [&](const Exchange& of) {
        const EndpointEntry& entry = segment_.endpoints[of.slot];
        return entry.generation != of.generation || (entry.bits & wire::kBitGone) != 0;
    };
    for (const std::uint32_t fd : clients_) {
        if (!has_exchange(runtime_.record(fd))) continue;
        const Exchange& now = exchange(fd);
        if (now.phase == Phase::Tunnel && is_gone(now)) runtime_.socket(fd).lost = true;
    }
    for (EndedTunnel& ended : ended_tunnels_) {
        if (ended.at_ns == 0 || now_ns_ - ended.at_ns > kRememberedNs) continue;
        if (!is_gone(ended.exchange)) continue;
        counting_.broke_after_all(ended.exchange, {wire::Outcome::Reset, ended.at_ns, ended.line});
        ended.at_ns = 0;
    }
}

}  // namespace thole::edge
