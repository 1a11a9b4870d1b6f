// What one worker has: worker.h is what it does with it. Its own alone, but for the atomics.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/random.h"
#include "edge/alarms.h"
#include "edge/blocks.h"
#include "edge/callers.h"
#include "edge/counting.h"
#include "edge/endpoints.h"
#include "edge/runtime.h"
#include "edge/sharing.h"
#include "edge/traffic.h"
#include "http/head.h"
#include "os/fd.h"

namespace thole::edge {

// A listener that one worker waits for; id 0 is none.
struct Watched {
    std::uint32_t id = 0;
    int fd = -1;
};

struct WorkerParts {
    WorkerParts(Runtime& runtime, std::uint32_t number);

    const Exchange& exchange(std::uint32_t fd) const { return current(runtime_.exchange(fd)); }
    // The last one stands for a service that was not there when the table was applied last.
    ServiceTraffic& traffic_of(std::uint32_t place);
    wire::RequestId new_id();
    void order_adopted();
    // A client was, or is no more, for this rule; by its route, as far as that is known.
    void refused(std::uint32_t fd, std::string_view rule,
                 wire::RefusalKind kind = wire::RefusalKind::Request);
    // departures.cpp: its client has gone, and it is at an instance or waits for one.
    bool waits_in_vain(std::uint32_t fd);
    // Where it stands among its service's shares; kNoPoint where there are none.
    std::uint16_t place_of(const ServiceAt& service, const http::RequestHead& head) {
        const Shares* const shares = shares_of(segment_, service.place);
        if (shares == nullptr) return kNoPoint;
        return place_among(*shares, routes_->sticky[service.place], head, random_);
    }
    // One that waits: its head may have been read before there were shares.
    void place_again(const ExchangeAt& at);

    Runtime& runtime_;
    Segment& segment_;
    const AllRoutes* routes_;  // That it has applied.
    std::uint32_t number_;
    Counting counting_;
    Callers callers_;
    os::FileDescriptor epoll_, wake_;
    std::int64_t now_ns_ = 0, swept_ns_ = 0, turns_ = 0, holds_ = 0;
    std::int64_t held_again_ns_ = 0;  // When those that wait are looked at, if before the sweep.
    Alarms alarms_;
    Random random_;
    std::uint64_t next_id_ = 0;  // Of its block; at a block's begin it has none.
    Blocks free_;
    std::vector<std::uint32_t> clients_, lingering_, handed_;
    std::vector<std::uint32_t> again_, ready_;   // To be looked at: in the next turn, in this one.
    std::vector<std::uint32_t> held_, starved_;  // Wait for an endpoint; for a block.
    Endpoints endpoints_;
    std::vector<ServiceTraffic> traffic_;  // By place.
    std::vector<Watched> listening_;       // By place.
    std::atomic<std::uint64_t> applied_{0};
    std::atomic<std::int64_t> turned_ns_{0};
    std::vector<wire::InFlight> in_flight_;
    std::vector<wire::RequestRecord> under_way_;
    // For one head at a time: what of it is mended, or written longer. Not on a thread's stack,
    // which stays in copies of this process.
    std::unique_ptr<char[]> mended_ = std::make_unique_for_overwrite<char[]>(http::kHeadBytesMax);
    std::unique_ptr<char[]> chain_ = std::make_unique_for_overwrite<char[]>(http::kHeadBytesMax);
    std::vector<EndedTunnel> ended_tunnels_;  // The newest.
    std::uint32_t ended_tunnels_next_ = 0, cut_count_ = 0;
};

}  // namespace thole::edge
