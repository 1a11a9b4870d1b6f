// Control's link to the edge. It holds the endpoint table as control wants it; whatever edge is
// there, it is told all of it first and then each change, and its acknowledgements are counted by
// sequence.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "env/env.h"
#include "wire/edge.h"
#include "wire/fault.h"
#include "wire/refusal.h"
#include "wire/request.h"

namespace thole::control {

struct EdgeEvents {
    std::function<void(const wire::Welcome&)> connected;
    std::function<void()> lost;
    std::function<void(const wire::SnapshotApplied&)> snapshot_applied;
    // All of the acknowledgement: every change up to this sequence holds in every worker.
    std::function<void(std::uint64_t sequence, const std::vector<wire::InFlight>&)> applied;
    std::function<void(const wire::CutDone&)> cut_done;
    // Every worker goes by what was said last of this service.
    std::function<void(std::uint32_t service)> hold_applied;
    // Every worker goes by the shares that were said last.
    std::function<void()> shares_applied;
    std::function<void(const wire::StatsHeader&, const std::vector<wire::EndpointStats>&)> stats;
    std::function<void(const wire::BrokenHeader&, const std::vector<wire::BrokenRequest>&)> broken;
    std::function<void(const wire::RoutesHeader&, const std::vector<wire::RouteStats>&)> routes;
    std::function<void(const std::vector<wire::RouteDurations>&)> durations;
    std::function<void(const wire::RefusalsHeader&, const std::vector<wire::RefusalStats>&)>
        refusals;
    std::function<void(const std::vector<wire::FaultState>&)> faults;  // All that it knows of.
    std::function<void(const wire::QueuedCount&)> queued = [](const wire::QueuedCount&) {};
    // What became of an upgrade; before `connected`, where it is a new edge that says so.
    std::function<void(const wire::Upgraded&)> upgraded = [](const wire::Upgraded&) {};
};

// Why the requests of a service are to wait although endpoints serve: a bit for each author, so
// that none ends what another one wants. (A single service that is replaced needs none: its
// requests wait because no endpoint serves.)
enum HoldReasons : std::uint32_t { kHoldPause = 1 };

class EdgeClient {
public:
    EdgeClient(env::Env& env, std::string path, EdgeEvents events);
    EdgeClient(const EdgeClient&) = delete;

    bool is_connected() const { return is_connected_; }
    // Nothing is said of endpoints before this: the edge goes on with what it knows until control
    // knows what runs.
    void begin();
    // The change goes out with the next flush(); the answer is the sequence whose acknowledgement
    // covers it.
    std::uint64_t set(const wire::EndpointChange& change);
    // One that is gone needs no row any more, once that is acknowledged.
    void flush();
    void activate(std::uint64_t version);
    void cut(wire::SlotRef at);
    // What the edge remembers of these requests; nothing where it does not answer in time.
    using Found = std::pair<wire::WhyHeader, std::vector<wire::RequestRecord>>;
    void why(wire::WhyRequest asked, std::function<void(std::optional<Found>)> told);
    // Whatever edge is there is told before it hears of any endpoint.
    void hold(std::uint32_t service, HoldReasons reason);
    void let_go(std::uint32_t service, HoldReasons reason);
    // All shares that there are, in the order of their services; said to whatever edge is there
    // before it hears of any endpoint.
    void share(std::vector<wire::ServiceShares> all);
    bool is_shared() const { return is_shared_; }
    // Once every worker goes by it, or why not.
    void inject(const wire::FaultTerms& terms, std::function<void(const Status&)> answered);
    // Tunnels and event streams there are to end, spread over this time.
    void drain(wire::SlotRef at, Duration within);

private:
    struct Asked {
        std::function<void(std::optional<Found>)> told;
        env::Timer limit;
    };
    void answer(std::uint64_t sequence, std::optional<Found> found);
    struct Hold {
        std::uint32_t reasons = 0;
        std::uint64_t said = 0;  // The sequence that told of it last.
    };
    void connect();
    void lost();
    void received(std::string_view datagram);
    void obey(std::uint16_t type, std::string_view body);
    void obey_welcome(const wire::Welcome& welcome);
    void obey_applied(std::string_view body);
    void obey_stats(std::string_view body);
    void obey_hold(const wire::HoldApplied& applied);
    void set_reasons(std::uint32_t service, std::uint32_t reasons);
    void send_hold(std::uint32_t service, Hold& hold);
    void send_shares();
    void obey_shares(const wire::SharesApplied& applied);
    void obey_fault(const wire::FaultApplied& applied);
    void give_up_faults();
    void send_all();
    void send_endpoints(const std::vector<wire::EndpointChange>& changes, std::uint32_t full);

    env::Env& env_;
    std::string path_;
    EdgeEvents events_;
    std::unique_ptr<env::Link> link_;
    env::Timer again_;
    bool is_connected_ = false;
    bool has_begun_ = false;
    std::uint64_t sequence_ = 0;
    std::map<std::uint32_t, wire::EndpointChange> table_;  // By slot.
    std::vector<std::uint32_t> changed_;                   // Slots to be told.
    std::map<std::uint32_t, std::uint64_t> gone_;          // Slots, and the sequence that said so.
    std::uint64_t asked_last_ = 0;
    std::map<std::uint64_t, Asked> asked_;  // By the sequence of what was asked.
    std::map<std::uint32_t, Hold> holds_;   // By service; until an edge lets go.
    std::vector<wire::ServiceShares> shares_;
    std::uint64_t shares_said_ = 0;          // The sequence that told of them last.
    bool is_shared_ = true;                  // The edge goes by them.
    std::vector<wire::InFlight> in_flight_;  // Pages of one acknowledgement.
    std::map<std::uint64_t, std::function<void(const Status&)>> injecting_;  // By sequence.
};

}  // namespace thole::control
