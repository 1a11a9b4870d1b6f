// What one worker knows of the endpoints: which serve, how loaded and how quick they are, and its
// idle connections to them. Owned and used by its worker alone.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/random.h"
#include "edge/balance.h"
#include "edge/keepalive.h"
#include "edge/segment.h"

namespace thole::edge {

// What a request wants of its endpoint.
struct Wanted {
    std::uint32_t last = kNone;  // Not where it has been tried, by its last two attempts.
    std::uint32_t before = kNone;
    std::uint16_t point = kNoPoint;  // Its place among the shares; counts where these are set.
};

// What one worker knows of the endpoint in a slot.
struct EndpointState {
    std::uint32_t generation = 0;
    std::uint32_t release = 0;
    std::vector<std::uint32_t> idle;  // Its connections that carry nothing; the last one came last.
    LearnedKeepAlive keep_alive;
    std::uint32_t load = 0;  // Requests in flight of this worker.
    PeakLatency latency;
    std::int64_t refused_until_ns = 0;  // Nobody listened there just now.
    std::uint32_t drained = 0;          // The generation whose long-lived connections are ended,
    std::int64_t drained_by_ns = 0;     // and by when.
};

class Endpoints {
public:
    explicit Endpoints(Segment& segment);

    EndpointState& at(std::uint32_t slot) { return slots_[slot]; }
    // The table has changed.
    void apply();
    // The slot that takes a request of this service; kNone where none may.
    std::uint32_t pick(const ServiceAt& service, const Wanted& wanted, std::int64_t now_ns,
                       Random& random);
    // Between how many the last pick chose.
    std::uint16_t considered() const { return static_cast<std::uint16_t>(candidates_.size()); }
    // The last pick was of another release than the shares say: that one is out. Told once.
    bool take_diverted() { return std::exchange(was_diverted_, false); }
    // Nobody listens there: it died and control has not said so yet, or it was never there. For a
    // moment nothing is sent its way; who has nowhere else to go waits, as without an endpoint.
    void refused(std::uint32_t slot, std::int64_t now_ns);
    // When the first of those of a service that refused may be asked again; 0: none did.
    std::int64_t refused_until_ns(std::uint32_t place, std::int64_t now_ns) const;

private:
    bool may_take(const ServiceAt& service, std::uint32_t slot, std::int64_t now_ns) const;
    std::uint32_t release_for(const ServiceAt& service, const Shares& shares, std::uint16_t point,
                              std::int64_t now_ns);

    Segment& segment_;
    std::vector<EndpointState> slots_;
    std::vector<std::vector<std::uint32_t>> serving_;  // Slots, by the place of their service.
    std::vector<Candidate> candidates_;
    bool was_diverted_ = false;
};

}  // namespace thole::edge
