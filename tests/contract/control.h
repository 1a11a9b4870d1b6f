// Control's side of the link to an edge, in bare messages: it says what a test wants said, in
// whatever order, and writes down what it hears.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stand.h"
#include "wire/edge.h"
#include "wire/fault.h"
#include "wire/snapshot.h"

namespace thole::contract {

using namespace std::chrono_literals;

// What should be at once, on a machine that has much else to do.
constexpr Duration kSoon = 5s;
// So long a test looks for what must not happen.
constexpr Duration kWhile = 100ms;

using EndpointId = std::pair<std::uint32_t, std::uint32_t>;  // Slot, generation.
using RequestKey = std::pair<std::uint64_t, std::uint64_t>;
inline EndpointId id_of(wire::SlotRef at) { return {at.slot, at.generation}; }
inline RequestKey key_of(wire::RequestId id) { return {id.high, id.low}; }

struct Acknowledgement {
    std::uint64_t sequence = 0;
    std::vector<wire::InFlight> in_flight;             // Of all pages.
    std::map<EndpointId, std::uint32_t> counted_then;  // In flight, as the counts had it before.
};

enum class Table { Changes, All };

class Control {
public:
    explicit Control(Stand& stand) : stand_(stand) {}
    Control(const Control&) = delete;

    // Each try is a new link; what the one before heard is forgotten. False where nobody welcomes.
    bool connect();
    // Does not wait for the welcome.
    void open_link();
    void close_link() { link_.reset(); }

    // Each returns its sequence.
    std::uint64_t say_endpoints(const std::vector<wire::EndpointChange>& changes,
                                Table table = Table::Changes);
    std::uint64_t say_endpoints_as(std::uint64_t sequence,
                                   const std::vector<wire::EndpointChange>& changes);
    std::uint64_t say_snapshot(std::uint64_t version);
    std::uint64_t say_hold(std::uint32_t on);
    std::uint64_t say_cut(wire::SlotRef at);
    // By clock of the machine; 0: it ends.
    std::uint64_t say_fault(std::uint32_t id, std::int64_t until);
    // The file that say_snapshot() names.
    void write_snapshot(std::uint64_t version, const wire::SnapshotLimits& limits);
    void write_snapshot_bytes(std::uint64_t version, const std::string& bytes);

    // The same, and waits for the answer; nothing where none comes.
    std::optional<Acknowledgement> apply(const std::vector<wire::EndpointChange>& changes,
                                         Table table = Table::Changes);
    std::optional<wire::SnapshotApplied> activate(std::uint64_t version,
                                                  const wire::SnapshotLimits& limits);
    std::optional<wire::CutDone> cut(wire::SlotRef at);
    const Acknowledgement* acknowledgement_of(std::uint64_t sequence) const;

    // By this link. The types in the order heard.
    std::vector<wire::EdgeMessage> heard;
    std::optional<wire::Welcome> welcome;
    std::vector<Acknowledgement> acknowledgements;
    std::vector<wire::SnapshotApplied> snapshots;
    std::vector<wire::HoldApplied> holds;
    std::vector<wire::CutDone> cuts;
    std::vector<wire::FaultApplied> faults_applied;
    std::optional<std::vector<wire::FaultState>> faults;  // The newest.
    wire::StatsHeader header{};
    std::map<EndpointId, wire::EndpointStats> stats;
    std::vector<wire::BrokenRequest> broken;
    std::uint32_t lost = 0;  // Of them, not listed.
    // By listener, release and slot; durations by outcome, too.
    std::map<std::array<std::uint32_t, 3>, wire::RouteStats> routes;
    std::map<std::array<std::uint32_t, 4>, wire::RouteDurations> durations;
    bool has_all_routes = false;
    bool is_closed = false;

private:
    void receive(std::string_view datagram);
    void hear(wire::EdgeMessage type, std::string_view body);
    void hear_applied(std::string_view body);

    Stand& stand_;
    std::unique_ptr<env::Link> link_;
    std::uint64_t sequence_ = 0;
    std::vector<wire::InFlight> pages_;
};

}  // namespace thole::contract
