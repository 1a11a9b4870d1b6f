// What the edge tells control unasked: counts of endpoints that have changed, requests that broke;
// route_reports.h tells those of routes. Main's own; reads what the workers write.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "edge/runtime.h"
#include "wire/edge.h"
#include "wire/fault.h"

namespace thole::edge {

class Reports {
public:
    // False where it cannot be sent now; then it is said again later.
    using Send = std::function<bool(const std::string& frame)>;

    explicit Reports(Runtime& runtime)
        : runtime_(runtime), told_(wire::kSlotsMax), told_broken_(kWorkers, 0) {}

    // Somebody new listens, who knows nothing yet.
    void begin();
    void send_changes(const Send& send);

private:
    struct Told {
        wire::EndpointStats stats[2]{};
    };
    wire::StatsHeader header() const;
    wire::EndpointStats stats_of(std::uint32_t slot, std::uint32_t parity) const;
    bool send_endpoints(const Send& send);
    bool send_broken(const Send& send);
    bool send_broken_of(std::uint32_t worker, const Send& send);
    bool send_faults(const Send& send);
    bool send_queued(const Send& send);

    Runtime& runtime_;
    std::vector<Told> told_;                  // By slot.
    std::vector<std::uint64_t> told_broken_;  // By worker: up to which one.
    wire::StatsHeader told_header_{};
    std::optional<wire::QueuedCount> told_queued_;              // Nothing: not yet.
    std::optional<std::vector<wire::FaultState>> told_faults_;  // Nothing: not yet.
    bool is_first_ = true;
};

}  // namespace thole::edge
