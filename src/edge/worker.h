// One worker of the edge: an epoll loop on a thread of its own. A connection lives and dies on its
// worker; upstreams belong to the worker of their client. Sockets are edge-triggered, listeners
// level-triggered with EPOLLEXCLUSIVE.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "edge/balance.h"
#include "edge/flow.h"
#include "edge/keepalive.h"
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
    void give_ring(std::uint32_t block) { rings_.push_back(block); }
    void give_head(std::uint32_t block) { heads_.push_back(block); }

    [[noreturn]] void run();

    // From other threads.
    void wake() const;
    std::uint64_t applied() const { return applied_.load(std::memory_order_acquire); }
    // What was attached to endpoints that do not serve, as of the table that was applied. Only main
    // reads it, only while it has said nothing newer.
    const std::vector<wire::InFlight>& in_flight() const { return in_flight_; }

    int epoll_descriptor() const { return epoll_.get(); }
    int wake_descriptor() const { return wake_.get(); }

private:
    // worker.cpp: sockets and the loop.
    void turn();
    void apply_table();
    void listen_to_all();
    void accept_all(const ListenerEntry& listener);
    void watch(std::uint32_t fd);
    void on_ready(std::uint32_t fd, std::uint32_t events);
    void sweep();
    void sweep_client(std::uint32_t fd);
    bool receive(std::uint32_t fd, std::uint64_t keep_from);
    bool flush(const Flow& flow, std::uint32_t from, std::uint32_t to);
    void close_socket(std::uint32_t fd);
    void close_client(std::uint32_t fd);
    void drop_upstream(std::uint32_t fd);
    void free_ring(Record& record);
    std::string_view text_of(std::uint32_t ring, std::uint64_t from, std::uint64_t to);

    // exchange.cpp: one request after the other.
    void step(std::uint32_t fd);
    bool hold(std::uint32_t fd);
    bool step_reading(std::uint32_t fd);
    bool step_attached(std::uint32_t fd);
    bool step_answering(std::uint32_t fd);
    void tunnel(std::uint32_t fd);
    bool parse_request(std::uint32_t fd);
    bool parse_response(std::uint32_t fd);
    bool advance_body(std::uint32_t fd, Flow Exchange::*which);
    void finish(std::uint32_t fd);
    void linger(std::uint32_t fd);
    void lost_upstream(std::uint32_t fd);
    void answer(std::uint32_t fd, std::uint16_t status, std::string_view why);
    std::uint32_t write_request(const http::RequestHead& head, std::uint32_t fd, wire::RequestId id,
                                std::uint32_t& bytes);
    std::uint32_t write_response(const http::ResponseHead& head, const Exchange& exchange,
                                 std::uint32_t& bytes);
    wire::RequestId id_for(const http::RequestHead& head, const ListenerEntry& listener);

    // attach.cpp: an endpoint and a connection to it.
    bool attach(std::uint32_t fd);
    std::uint32_t pick_endpoint(std::uint32_t service, std::uint32_t avoid);
    std::uint32_t take_idle(std::uint32_t slot, const Exchange& exchange);
    std::uint32_t connect_to(std::uint32_t slot);
    void put_idle(std::uint32_t upstream);
    void idle_closed(std::uint32_t upstream);

    const ListenerEntry* listener_of(const Exchange& exchange) const;

    Runtime& runtime_;
    Segment& segment_;
    std::uint32_t number_;
    os::FileDescriptor epoll_;
    os::FileDescriptor wake_;
    std::int64_t now_ns_ = 0;
    std::int64_t swept_ns_ = 0;
    Random random_;
    std::vector<std::uint32_t> rings_;  // Free blocks.
    std::vector<std::uint32_t> heads_;
    std::vector<std::uint32_t> clients_;
    std::vector<std::uint32_t> again_;  // Clients to be looked at in the next turn.
    std::vector<std::uint32_t> held_;   // Clients that wait for an endpoint.
    std::vector<std::uint32_t> lingering_;
    std::vector<std::vector<std::uint32_t>> idle_;  // Upstreams, by slot.
    std::vector<LearnedKeepAlive> keep_alive_;      // By slot.
    std::vector<std::uint32_t> loads_;              // Requests in flight of this worker, by slot.
    std::vector<std::uint32_t> latencies_;          // Microseconds, by slot.
    std::vector<Candidate> candidates_;
    std::vector<std::uint32_t> serving_;  // Slots whose endpoint serves.
    std::uint32_t listening_ = 0;         // Listeners of the table that are watched.
    std::atomic<std::uint64_t> applied_{0};
    std::vector<wire::InFlight> in_flight_;
};

}  // namespace thole::edge
