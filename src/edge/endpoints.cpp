#include "edge/endpoints.h"

#include <algorithm>
#include <optional>
#include <span>

#include "edge/sharing.h"

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

// The bits again, not the list alone: main may have taken one out since the last turn.
bool Endpoints::may_take(const ServiceAt& service, std::uint32_t slot, std::int64_t now_ns) const {
    const EndpointEntry& entry = segment_.endpoints[slot];
    return entry.service == service.id && entry.bits == 0 &&
           now_ns >= slots_[slot].refused_until_ns;
}

// Whose turn it is; kNone: of whichever one serves, for none that has a share does.
std::uint32_t Endpoints::release_for(const ServiceAt& service, const Shares& shares,
                                     std::uint16_t point, std::int64_t now_ns) {
    std::uint32_t serving = 0;
    for (const std::uint32_t slot : serving_[service.place]) {
        if (!may_take(service, slot, now_ns)) continue;
        for (std::uint32_t i = 0; i < shares.count; ++i) {
            if (shares.releases[i] == segment_.endpoints[slot].release) serving |= 1U << i;
        }
    }
    const std::span<const std::uint16_t> per_mille(shares.per_mille, shares.count);
    const std::optional<std::size_t> own = release_at(point, per_mille);
    const std::optional<std::size_t> now = release_that_serves(point, per_mille, serving);
    was_diverted_ = now != own;
    return now ? shares.releases[*now] : kNone;
}

std::uint32_t Endpoints::pick(const ServiceAt& service, const Wanted& wanted, std::int64_t now_ns,
                              Random& random) {
    if (service.place >= kServicesMax || segment_.services[service.place].holds != 0) return kNone;
    was_diverted_ = false;
    const Shares* const shares = shares_of(segment_, service.place);
    const std::uint32_t release =
        shares == nullptr ? kNone : release_for(service, *shares, wanted.point, now_ns);
    candidates_.clear();
    for (const std::uint32_t slot : serving_[service.place]) {
        if (!may_take(service, slot, now_ns)) continue;
        if (slot == wanted.last || slot == wanted.before) continue;
        const EndpointEntry& entry = segment_.endpoints[slot];
        if (release != kNone && entry.release != release) continue;
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
