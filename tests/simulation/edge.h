// An edge that speaks wire/edge.h: two workers that each take a change over after a while of their
// own, and requests that a worker attaches to what it believes to serve. The table, the snapshot
// and requests under way outlive it, as in the field they are taken over by its successor.
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

#include "sim/host.h"
#include "story.h"
#include "wire/edge.h"
#include "wire/snapshot.h"

namespace thole::simulation {

using EndpointId = std::pair<std::uint32_t, std::uint32_t>;  // Slot, generation.
using EndpointTable = std::map<std::uint32_t, wire::EndpointChange>;

struct EdgeSettings {
    std::string run;
    std::string data;
    std::function<void(EndpointId)> attached;
};

class SimEdge {
public:
    SimEdge(sim::SimHost& host, Story& story, EdgeSettings settings);

    void begin();
    void kill();
    bool is_alive() const { return process_ != nullptr && process_->is_alive(); }
    sim::SimProcess& process() { return *process_; }

    // A request for this service that takes so long once it has an endpoint.
    void request(std::uint32_t service, Duration takes);
    // Its process is gone: what was under way there is broken.
    void lost(EndpointId at);

    const wire::Snapshot& snapshot() const { return snapshot_; }
    // In every worker.
    bool serves(EndpointId at) const;
    // Of these, as many as serve in the worker that knows the fewest.
    std::size_t serving_least(const std::vector<EndpointId>& endpoints) const;
    bool was_routed(EndpointId at) const { return routed_.contains(at); }
    // Control took it out and was told that no worker attaches to it any more.
    bool is_acknowledged(EndpointId at) const { return acknowledged_.contains(at); }
    bool was_cut(EndpointId at) const { return cut_.contains(at); }
    std::uint32_t in_flight(EndpointId at) const;

private:
    void accept(std::unique_ptr<env::Link> link);
    void welcome_the_next();
    void take_next();
    void obey(std::string_view datagram);
    void welcome();
    void activate(const wire::SnapshotRequest& request);
    void change_endpoints(std::string_view body);
    void cut(const wire::CutRequest& request);
    // Calls once every worker goes by the table as it is now.
    void when_applied(std::function<void()> act);
    void acknowledge(std::uint64_t sequence);
    void report();
    void beat();
    template <typename Message>
    void send(wire::EdgeMessage type, const Message& message);

    struct Control {
        std::unique_ptr<env::Link> link;
        std::deque<std::string> inbox;
        bool is_greeted = false;
    };
    struct Request {
        EndpointId at;
        wire::RequestId id;
    };

    sim::SimHost& host_;
    Story& story_;
    EdgeSettings settings_;

    // Outlives a life.
    EndpointTable table_;
    wire::Snapshot snapshot_;
    std::uint64_t epoch_ = 0;
    std::map<std::uint64_t, Request> requests_;
    std::uint64_t next_request_ = 1;
    std::map<EndpointId, std::uint64_t> begun_;
    std::set<EndpointId> routed_;
    std::set<EndpointId> acknowledged_;
    std::set<EndpointId> cut_;

    // Of one life.
    sim::SimProcess* process_ = nullptr;
    std::unique_ptr<env::Listening> listening_;
    std::unique_ptr<Control> control_;
    std::unique_ptr<Control> coming_;  // Takes its place once the edge is not busy.
    std::vector<std::unique_ptr<Control>> gone_;
    bool is_busy_ = false;
    std::array<EndpointTable, 2> workers_;
    std::size_t worker_ = 0;  // Whose turn it is.
    std::uint64_t sequence_ = 0;
    std::set<EndpointId> unreported_;
    env::Timer beat_;
    std::array<env::Timer, 2> apply_;
    int waiting_for_ = 0;
    std::function<void()> applied_;
};

}  // namespace thole::simulation
