// Shares at work: where a request stands among the releases of its service, and which of them is to
// take it. shares.h decides; here it is read from the segment. A service without shares costs one
// look at a word that is read anyway.
#pragma once

#include <cstdint>
#include <span>

#include "base/random.h"
#include "edge/segment.h"
#include "http/head.h"

namespace thole::edge {

inline const Shares* shares_of(const Segment& segment, std::uint32_t place) {
    const std::uint32_t which = segment.services[place].shares.load(std::memory_order_acquire);
    return which == 0 ? nullptr : &segment.shares[place][which - 1];
}

// By its key, where there is one, else by chance.
std::uint16_t place_among(const Shares& shares, const StickyKey& sticky,
                          const http::RequestHead& head, Random& random);

// Main's: what control has said, as a whole. False where it is not well-formed, or says more than
// there can be; then nothing was changed. Counts once every worker has applied it; until then it is
// not called again.
bool are_well_formed(std::span<const wire::ServiceShares> all);
void put_shares(Segment& segment, std::span<const wire::ServiceShares> all);

}  // namespace thole::edge
