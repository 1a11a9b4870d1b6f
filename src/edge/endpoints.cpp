#include "edge/endpoints.h"

#include <algorithm>

namespace thole::edge {
namespace {

// An endpoint that refused a connection is passed over for so long: a restart takes longer.
constexpr std::int64_t kRefusedNs = 100'000'000;
// Load of an instance that is known to be bad and cannot be left out counts so many times.
constexpr std::uint32_t kSuspectTimes = 4;
// Idle connections to one endpoint for which no request has to allocate; more are rare, and
// doubled.
constexpr std::size_t kIdleAtFirst = 128;

}  // namespace

Endpoints::Endpoints(Segment& segment)
    : segment_(segment), slots_(wire::kSlotsMax), serving_(kServicesMax) {}

void Endpoints::apply() {
    for (std::vector<std::uint32_t>& slots : serving_) slots.clear();
    for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot) {
        const EndpointEntry& entry = segment_.endpoints[slot];
        const bool serves = entry.generation != 0 && entry.bits == 0;
        if (serves) {
            for (std::uint32_t place = 0; place < segment_.service_count; ++place) {
                if (segment_.services[place].is_used != 0 &&
                    segment_.services[place].id == entry.service)
                    serving_[place].push_back(slot);
            }
        }
        EndpointState& state = slots_[slot];
        state.release = entry.release;
        if (state.generation != entry.generation) {
            // Another instance: what was learned of the one before says nothing.
            state.generation = entry.generation;
            state.keep_alive = {};
            state.latency = {};
            state.refused_until_ns = 0;
        }
        if (serves) state.idle.reserve(kIdleAtFirst);
    }
}

std::uint32_t Endpoints::pick(const ServiceAt& service, const Avoided& avoided, std::int64_t now_ns,
                              Random& random) {
    if (service.place >= kServicesMax || segment_.services[service.place].holds != 0) return kNone;
    candidates_.clear();
    for (const std::uint32_t slot : serving_[service.place]) {
        // The bits again, not the list alone: main may have taken one out since the last turn.
        const EndpointEntry& entry = segment_.endpoints[slot];
        if (entry.service != service.id || entry.bits != 0) continue;
        if (slot == avoided.last || slot == avoided.before) continue;
        if (now_ns < slots_[slot].refused_until_ns) continue;
        const EndpointState& state = slots_[slot];
        candidates_.push_back({.slot = slot,
                               .in_flight = state.load,
                               .latency_us = state.latency.us(now_ns),
                               .weight = slow_start_weight(now_ns, entry.since_ns),
                               .penalty = entry.is_suspect != 0 ? kSuspectTimes : 1});
    }
    if (candidates_.empty()) return kNone;
    return candidates_[choose(candidates_, random)].slot;
}

std::int64_t Endpoints::refused_until_ns(std::uint32_t place, std::int64_t now_ns) const {
    std::int64_t first_ns = 0;
    for (const std::uint32_t slot : serving_[place]) {
        const std::int64_t until_ns = slots_[slot].refused_until_ns;
        if (until_ns > now_ns) first_ns = first_ns == 0 ? until_ns : std::min(first_ns, until_ns);
    }
    return first_ns;
}

void Endpoints::refused(std::uint32_t slot, std::int64_t now_ns) {
    slots_[slot].refused_until_ns = now_ns + kRefusedNs;
}

}  // namespace thole::edge
