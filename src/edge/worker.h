// One worker of the edge: an epoll loop on a thread of its own. A connection lives and dies on its
// worker; upstreams belong to the worker of their client. Sockets are edge-triggered, listeners
// level-triggered with EPOLLEXCLUSIVE. After warm-up a request allocates nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "edge/blocks.h"
#include "edge/callers.h"
#include "edge/endpoints.h"
#include "edge/flow.h"
#include "edge/runtime.h"
#include "http/head.h"
#include "os/fd.h"

namespace thole::edge {

class Worker {
public:
    Worker(Runtime& runtime, std::uint32_t number);

    // Before run(): what an earlier edge left. A client brings its upstream along.
    void adopt_client(std::uint32_t fd);
    void adopt_idle(std::uint32_t fd);
    void give(Blocks free) { free_ = std::move(free); }
    Counting& counting() { return counting_; }

    [[noreturn]] void run();

    void wake() const;  // This and what follows: from other threads.
    std::uint64_t applied() const { return applied_.load(std::memory_order_acquire); }
    std::int64_t turned_ns() const { return turned_ns_.load(std::memory_order_relaxed); }
    // Main's, until it says a newer table: what was attached where nothing serves, how many it cut.
    const std::vector<wire::InFlight>& in_flight() const { return in_flight_; }
    const std::vector<wire::RequestRecord>& under_way() const { return under_way_; }
    std::uint32_t cut_count() const { return cut_count_; }
    std::vector<int> descriptors() const;  // Of its own.

private:
    // worker.cpp: the loop.
    void turn();
    void wait_while_parked();
    void apply_table();
    void close_idle_of_others();
    void find_lost_tunnels();
    void list_in_flight();
    void list_under_way(const wire::WhyRequest& asked);
    void cut(wire::SlotRef at);
    void on_ready(std::uint32_t fd, std::uint32_t events);
    bool is_own_client(std::uint32_t fd) const;
    const Exchange& exchange(std::uint32_t fd) const { return current(runtime_.exchange(fd)); }

    // accept.cpp: listeners and who comes by them.
    void listen_to_all();
    void accept_all(std::uint32_t place);
    void refuse_one(int listener);
    void take_in(int fd, std::uint32_t place, std::uint32_t peer);
    void join(std::uint32_t fd);
    void take_back();
    void ask_caller(std::uint32_t fd, const ListenerEntry& listener);
    const ListenerEntry* listener_of(const Record& record) const;
    const ServiceEntry& service_of(const Record& record) const;

    // sockets.cpp: bytes in and out, and the blocks they lie in.
    void watch(std::uint32_t fd);
    bool receive(std::uint32_t fd, std::uint64_t keep_from);
    bool flush(const Flow& flow, std::uint32_t from, std::uint32_t to);
    void close_socket(std::uint32_t fd);
    void drop_upstream(std::uint32_t fd);
    void free_ring(Record& record);
    void free_empty_rings(std::uint32_t fd);
    void free_head(std::uint32_t block);
    void starve(std::uint32_t client);
    void feed(std::size_t count);
    std::string_view text_of(std::uint32_t ring, std::uint64_t from, std::uint64_t to);

    // ends.cpp: how exchanges and connections end, and the time limits.
    End end_as(std::uint32_t fd, wire::Outcome outcome);
    void end(std::uint32_t fd, wire::Outcome outcome);
    void close_client(std::uint32_t fd, wire::Outcome outcome);
    void give_up(std::uint32_t fd);
    bool refuse_response(std::uint32_t fd);
    void linger(std::uint32_t fd);
    void sweep();
    void sweep_client(std::uint32_t fd);
    void sweep_attached(std::uint32_t fd);
    void sweep_answering(std::uint32_t fd);

    // exchange.cpp, tunnel.cpp: one request after the other.
    void step(std::uint32_t fd);
    bool step_between(std::uint32_t fd);
    bool step_reading(std::uint32_t fd);
    bool step_attached(std::uint32_t fd);
    bool step_answering(std::uint32_t fd);
    bool pass_request(std::uint32_t fd);
    void tunnel(std::uint32_t fd);
    void remember_tunnel(std::uint32_t fd);
    Heard parse_request(std::uint32_t fd);
    Heard parse_response(std::uint32_t fd);
    bool advance_body(std::uint32_t fd, Flow Exchange::*which);
    bool pass_on(std::uint32_t fd, Flow Exchange::*which);
    void finish(std::uint32_t fd);
    void next_request(std::uint32_t fd, const End& how);
    bool may_replay(std::uint32_t fd);
    void replay(std::uint32_t fd, wire::TryEnd end);
    void lost_upstream(std::uint32_t fd);

    // heads.cpp: heads as they leave.
    void answer(std::uint32_t fd, const Answer& own);
    std::uint32_t write_request(const http::RequestHead& head, std::uint32_t fd, wire::RequestId id,
                                std::uint32_t& bytes);
    std::uint32_t write_response(const http::ResponseHead& head, const Exchange& exchange,
                                 std::uint32_t& bytes);
    wire::RequestId id_for(const http::RequestHead& head, const ListenerEntry& listener);
    wire::RequestId new_id();

    // attach.cpp: an endpoint and a connection to it, or waiting for one.
    bool attach(std::uint32_t fd);
    bool hold(std::uint32_t fd);
    void unhold(std::uint32_t fd);
    std::uint32_t take_idle(std::uint32_t slot, const Exchange& exchange);
    std::uint32_t connect_to(std::uint32_t slot, std::uint32_t service);
    void release(std::uint32_t upstream);
    void put_idle(std::uint32_t upstream);
    void idle_closed(std::uint32_t upstream);

    Runtime& runtime_;
    Segment& segment_;
    std::uint32_t number_;
    Counting counting_;
    Callers callers_;
    os::FileDescriptor epoll_, wake_, spare_;  // spare_: closed to refuse whom none is left for.
    std::int64_t now_ns_ = 0, swept_ns_ = 0, turns_ = 0;
    Random random_;
    Blocks free_;
    std::vector<std::uint32_t> clients_, lingering_, handed_;
    std::vector<std::uint32_t> again_, ready_;   // To be looked at: in the next turn, in this one.
    std::vector<std::uint32_t> held_, starved_;  // Wait for an endpoint; for a block.
    Endpoints endpoints_;
    std::vector<Watched> listening_;  // By place.
    std::atomic<std::uint64_t> applied_{0};
    std::atomic<std::int64_t> turned_ns_{0};
    std::vector<wire::InFlight> in_flight_;
    std::vector<wire::RequestRecord> under_way_;
    std::vector<EndedTunnel> ended_tunnels_;  // The newest.
    std::uint32_t ended_tunnels_next_ = 0, cut_count_ = 0;
};

}  // namespace thole::edge
