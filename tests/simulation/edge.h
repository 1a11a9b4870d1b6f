// An edge that speaks wire/edge.h: two workers that each take a change over after a while of their
// own, and requests that a worker attaches to what it believes to serve, or lets wait. The table,
// the snapshot, the counts and requests under way outlive it, as in the field they are taken over
// by its successor. That it promises what the real one does is shown by tests/contract.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "edge_requests.h"
#include "sim/host.h"
#include "story.h"
#include "wire/edge.h"
#include "wire/fault.h"
#include "wire/refusal.h"
#include "wire/snapshot.h"

namespace thole::simulation {

struct EdgeSettings {
    std::string run;
    std::string data;
    std::function<void(EndpointId)> attached;
    std::function<void(EndpointId)> gone;  // A whole table does not name it.
};

class SimEdge {
public:
    SimEdge(sim::SimHost& host, Story& story, EdgeSettings settings);

    void begin();
    void kill();
    bool is_alive() const { return process_ != nullptr && process_->is_alive(); }
    sim::SimProcess& process() { return *process_; }

    // A request for this service that takes so long once it has an endpoint.
    void request(std::uint32_t service, Duration takes) { ask(service, {.takes = takes}); }
    // Its number, or 0 where nobody takes it.
    std::uint64_t ask(std::uint32_t service, Asked asked);
    // Its process is gone: what was under way there is broken.
    void lost(EndpointId at) { requests_.lose(at); }
    EdgeRequests& requests() { return requests_; }
    // One that does not turn while the others do.
    void stop_worker(std::size_t worker) { stopped_.insert(worker); }
    void continue_worker(std::size_t worker);
    // Who takes the next connection.
    std::size_t next_worker();

    const wire::Snapshot& snapshot() const { return snapshot_; }
    // In every worker.
    bool serves(EndpointId at) const;
    // Of these, as many as serve in the worker that knows the fewest.
    std::size_t serving_least(const std::vector<EndpointId>& endpoints) const;
    bool was_routed(EndpointId at) const { return routed_.contains(at); }
    // Control took it out and was told that no worker attaches to it any more.
    bool is_acknowledged(EndpointId at) const { return acknowledged_.contains(at); }
    // Control has said that it is to leave.
    bool is_taken_out(EndpointId at) const;
    bool was_cut(EndpointId at) const { return cut_.contains(at); }
    std::uint32_t in_flight(EndpointId at) const { return requests_.in_flight(at); }

private:
    void accept(std::unique_ptr<env::Link> link);
    void welcome_the_next();
    void take_next();
    void obey(std::string_view datagram);
    void welcome(const wire::HelloToEdge& hello);
    void activate(const wire::SnapshotRequest& request);
    void change_endpoints(std::string_view body);
    void hold(const wire::HoldRequest& request);
    void tell_why(const wire::WhyRequest& asked);
    void cut(const wire::CutRequest& request);
    void inject(const wire::FaultRequest& request);
    // Calls once every worker goes by the table as it is now.
    void when_applied(std::function<void()> act);
    void apply(std::size_t worker);
    void acknowledge(std::uint64_t sequence);
    void report();
    void beat();
    template <typename Message>
    void send(wire::EdgeMessage type, const Message& message);

    struct Control {
        std::unique_ptr<env::Link> link;
        std::deque<std::string> inbox;
        bool is_greeted = false;
        bool wants_routes = false;
    };

    sim::SimHost& host_;
    Story& story_;
    EdgeSettings settings_;

    // Outlives a life.
    EndpointTable table_;
    wire::Snapshot snapshot_;
    std::uint64_t epoch_ = 0;
    EdgeRequests requests_;
    std::set<EndpointId> routed_;
    std::set<EndpointId> acknowledged_;
    std::set<EndpointId> cut_;
    std::map<std::uint32_t, wire::FaultState> faults_;  // By id.

    // Of one life.
    sim::SimProcess* process_ = nullptr;
    std::unique_ptr<env::Listening> listening_;
    std::unique_ptr<Control> control_;
    std::unique_ptr<Control> coming_;  // Takes its place once the edge is not busy.
    std::vector<std::unique_ptr<Control>> gone_;
    bool is_busy_ = false;
    std::array<EndpointTable, kEdgeWorkers> workers_;
    std::size_t worker_ = 0;  // Whose turn it is.
    std::uint64_t sequence_ = 0;
    bool has_told_faults_ = false;
    env::Timer beat_;
    std::array<env::Timer, kEdgeWorkers> apply_;
    std::set<std::size_t> stopped_;
    std::set<std::size_t> late_;  // Stopped when they should have applied the table.
    int waiting_for_ = 0;
    std::function<void()> applied_;
};

}  // namespace thole::simulation
