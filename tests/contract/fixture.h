// What the promises share: an edge with control linked and a snapshot active, and short words for
// what control and clients do.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "control.h"
#include "stand.h"

namespace thole::contract {

// Where a promise is tried.
struct Where {
    std::string name;
    std::uint64_t seed = 0;  // 0: on the real one.
};
inline void PrintTo(const Where& where, std::ostream* out) { *out << where.name; }

constexpr wire::SlotRef kOne = {20, 1};
constexpr wire::SlotRef kTwo = {21, 1};
constexpr std::uint32_t kServes = 0;
constexpr std::uint32_t kOut = wire::kBitControl;
constexpr std::uint32_t kGone = wire::kBitGone;
constexpr Ask kAtOnce{};
constexpr Ask kWaits{.instance = Ask::Instance::Waits};

class EdgeContract : public testing::TestWithParam<Where> {
protected:
    EdgeContract();
    void SetUp() override;
    void TearDown() override;

    static wire::SnapshotLimits limits();
    // Its instance is started when it is first named.
    wire::EndpointChange row(wire::SlotRef at, std::uint32_t bits);
    bool until(const std::function<bool()>& holds, Duration limit = kSoon) {
        return stand_->until(holds, limit);
    }
    // A request that has come to an end, as its client saw it; kOpen where it did not end in time.
    int request(const Ask& ask = kAtOnce);
    bool has_ended(std::size_t request) { return stand_->seen(request) != kOpen; }
    bool has_arrived(wire::SlotRef at, std::size_t request);
    std::vector<std::size_t> ask_many(std::size_t count, const Ask& ask);
    // Connections 0 to 7 are open; the first four at one worker, the others at the other.
    void open_connections();
    void no_more_in_flight(wire::SlotRef at);
    std::uint64_t counted(wire::SlotRef at, wire::Outcome outcome) const;

    std::unique_ptr<Stand> stand_;
    Control control_;

private:
    std::map<EndpointId, std::uint16_t> ports_;
};

}  // namespace thole::contract
