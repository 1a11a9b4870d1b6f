// What a simulated edge has under way, lets wait and has counted. It outlives the edge's process.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "sim/loop.h"
#include "wire/edge.h"
#include "wire/request.h"
#include "wire/snapshot.h"

namespace thole::simulation {

using EndpointId = std::pair<std::uint32_t, std::uint32_t>;  // Slot, generation.
using EndpointTable = std::map<std::uint32_t, wire::EndpointChange>;

constexpr std::size_t kEdgeWorkers = 2;

inline EndpointId id_of(wire::SlotRef at) { return {at.slot, at.generation}; }
bool serves_in(const EndpointTable& table, EndpointId at);

// A request that may not be sent twice.
struct Asked {
    Duration takes{};                   // Once it has an endpoint; kForever: until it is answered.
    std::size_t bytes = 0;              // Of it, while it waits.
    std::size_t worker = kEdgeWorkers;  // Whose connection it comes by; none: the next one's.
    std::function<void(std::uint64_t number, EndpointId)> attached = nullptr;
    std::function<void(wire::Outcome)> ended = nullptr;
};

class EdgeRequests {
public:
    EdgeRequests(sim::SimLoop& loop, std::function<void(EndpointId)> attached)
        : loop_(loop), attached_(std::move(attached)) {}
    EdgeRequests(const EdgeRequests&) = delete;

    // What the worker goes by that a request comes to.
    struct Known {
        const EndpointTable& table;
        const wire::Snapshot& snapshot;
    };
    // Its number, which is the low half of its id.
    std::uint64_t begin(std::uint32_t service, Asked asked, const Known& known);
    void end(std::uint64_t number, wire::Outcome outcome);
    std::uint32_t end_all(EndpointId at, wire::Outcome outcome);
    // Nobody listens there any more.
    void lose(EndpointId at);
    void set_hold(std::uint32_t service, bool is_on);
    void attach_waiting(std::size_t worker, const EndpointTable& table);
    void end_overdue(const wire::Snapshot& snapshot);

    // Slot 0 where it waits, or is over.
    EndpointId endpoint_of(std::uint64_t number) const;
    std::uint32_t in_flight(EndpointId at) const;
    std::uint32_t waiting(std::uint32_t service) const;
    // Attached to what does not serve by this table.
    std::vector<wire::InFlight> in_flight_elsewhere(const EndpointTable& table) const;

    void changed(EndpointId at) { unreported_.insert(at); }
    void forget_what_was_told();
    std::vector<wire::EndpointStats> take_changes(const EndpointTable& table);
    void fill(wire::StatsHeader& header) const;
    std::vector<wire::BrokenRequest> take_broken();
    std::vector<wire::RouteStats> routes() const;
    std::vector<wire::RouteDurations> durations() const;
    // What is remembered of those whose ids begin so, ended ones first.
    std::vector<wire::RequestRecord> find(const wire::WhyRequest& asked) const;

private:
    struct Request {
        std::uint32_t service;
        std::uint32_t listener;
        Asked asked;
        Time begun;
        EndpointId at;  // Slot 0: it waits.
        std::uint32_t release;
        Time attached;
        bool was_held = false;
    };
    using Outcomes = std::array<std::uint64_t, wire::kOutcomes>;
    struct Counts {
        std::uint64_t begun = 0;
        Outcomes outcomes{};
    };
    wire::RequestRecord record_of(std::uint64_t number, const Request& request) const;
    bool attach(std::uint64_t number, const EndpointTable& table);
    void count_duration(const Request& request, std::uint32_t slot, wire::Outcome outcome);
    bool may_wait(std::uint32_t service, const wire::Snapshot& snapshot) const;

    sim::SimLoop& loop_;
    std::function<void(EndpointId)> attached_;
    std::map<std::uint64_t, Request> requests_;
    std::uint64_t next_ = 1;
    std::map<EndpointId, Counts> counts_;
    std::map<std::array<std::uint32_t, 3>, wire::RouteStats>
        routes_;  // By listener, release, slot.
    // By outcome, too.
    std::map<std::array<std::uint32_t, 4>, wire::RouteDurations> durations_;
    std::vector<wire::RequestRecord> ended_;
    std::vector<wire::BrokenRequest> broken_;
    std::uint64_t held_ever_ = 0;
    Duration added_wait_max_{};
    std::set<std::uint32_t> holds_;  // Services.
    std::set<EndpointId> lost_;
    std::set<EndpointId> unreported_;
    std::size_t broken_told_ = 0;
};

}  // namespace thole::simulation
