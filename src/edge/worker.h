// One worker of the edge: an epoll loop on a thread of its own. A connection lives and dies on its
// worker; upstreams belong to the worker of their client. Sockets are edge-triggered, listeners
// level-triggered with EPOLLEXCLUSIVE. After warm-up a request allocates nothing.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "edge/faulty.h"
#include "edge/flow.h"
#include "edge/heads.h"
#include "edge/worker_parts.h"
#include "http/head.h"

namespace thole::edge {

class Worker : private WorkerParts {
public:
    Worker(Runtime& runtime, std::uint32_t number);

    // Before run(): what an earlier edge left. A client brings its upstream along.
    void adopt_client(std::uint32_t fd);
    void adopt_idle(std::uint32_t fd);
    void give(Blocks free) { free_ = std::move(free); }
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
    friend class Faulty;
    // worker.cpp: the loop.
    void turn();
    int quiet_ms() const;
    void wait_while_parked();
    void apply_table();
    void close_idle_of_others();
    void find_lost_tunnels();
    void list_in_flight();
    void list_under_way(const wire::WhyRequest& asked);
    void cut(wire::SlotRef at);
    void on_ready(std::uint32_t fd, std::uint32_t events);
    bool is_own_client(std::uint32_t fd) const;

    // accept.cpp: listeners and who comes by them.
    void listen_to_all();
    void accept_all(std::uint32_t place);
    void stop_accepting();
    void take_in(int fd, std::uint32_t place, std::uint32_t peer);
    void join(std::uint32_t fd);
    void take_back();
    void ask_caller(std::uint32_t fd, const ListenerEntry& listener);
    const ListenerEntry* listener_of(const Record& client) const;
    ServiceAt server_of(const Record& client) const;
    const ServiceEntry& service_of(const Record& client) const;

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

    // ends.cpp: how exchanges and connections end, time limits; shed.cpp: where room is short.
    void shed();
    End end_as(std::uint32_t fd, wire::Outcome outcome);
    void end(std::uint32_t fd, wire::Outcome outcome);
    void close_client(std::uint32_t fd, wire::Outcome outcome);
    void give_up(std::uint32_t fd);
    bool refuse_response(std::uint32_t fd);
    void shut_whole(std::uint32_t fd);
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
    BodyPassed pass_request(std::uint32_t fd);
    void tunnel(std::uint32_t fd);
    void remember_tunnel(std::uint32_t fd);
    bool may_close_ended(std::uint32_t fd) const;
    Heard parse_request(std::uint32_t fd);
    std::optional<Answer> refusal_of(const Record& client, const http::RequestHead& head,
                                     const RoutingResult& routed);
    Heard parse_response(std::uint32_t fd);
    bool advance_body(std::uint32_t fd, Flow Exchange::*which);
    bool pass_on(std::uint32_t fd, Flow Exchange::*which);
    void finish(std::uint32_t fd);
    void next_request(std::uint32_t fd, const End& how);
    bool may_replay(std::uint32_t fd);
    void replay(std::uint32_t fd, wire::TryEnd end, std::int64_t due_ns = 0);
    void lost_upstream(std::uint32_t fd);
    bool retry(std::uint32_t fd, std::string_view retry_after, Try why);
    void tried(std::uint32_t fd, Try how);
    bool is_past_deadline(std::uint32_t fd);
    bool judge(std::uint32_t fd, const http::ResponseHead& head);

    // drains.cpp: how what lasts is ended where its instance leaves.
    void begin_drain(const wire::DrainRequest& request);
    void drain(std::uint32_t fd);
    void end_tunnel(std::uint32_t fd);
    void end_events(std::uint32_t fd);
    void follow_frames(std::uint32_t fd, Flow Exchange::*which);
    void leave_idle(std::uint32_t fd);

    // heads.cpp: heads as they leave.
    void answer(std::uint32_t fd, const Answer& own);
    Asker asker_of(std::uint32_t fd, const http::RequestHead& head, const ListenerRoutes& of);
    Written write_request(const http::RequestHead& head, const Asker& by, const Wish& wish);
    Written write_response(const http::ResponseHead& head, const Exchange& exchange);
    void write_attempt(const Exchange& exchange);

    // attach.cpp: an endpoint and a connection to it, or waiting for one.
    bool attach(std::uint32_t fd);
    ServiceAt route_anew(std::uint32_t fd);
    std::uint32_t find_upstream(std::uint32_t fd, const ServiceAt& service);
    void take_on(std::uint32_t fd);
    bool is_due(std::uint32_t fd);
    bool hold(std::uint32_t fd);
    void unhold(std::uint32_t fd);
    void look_at_held();
    std::uint32_t take_idle(std::uint32_t slot, const Exchange& exchange);
    std::uint32_t connect_to(std::uint32_t slot, std::uint32_t service);
    void release(std::uint32_t upstream);
    void put_idle(std::uint32_t upstream);
    void idle_closed(std::uint32_t upstream);

    Faulty faulty_;
};

}  // namespace thole::edge
