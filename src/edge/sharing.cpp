#include "edge/sharing.h"

#include <algorithm>
#include <cstring>

#include "edge/worker_parts.h"

namespace thole::edge {
namespace {

Shares read_shares(const wire::ServiceShares& from) {
    Shares shares{};
    shares.salt = {from.salt_low, from.salt_high};
    shares.count = from.count;
    for (std::uint32_t i = 0; i < from.count; ++i) {
        shares.releases[i] = from.of[i].release;
        shares.per_mille[i] = static_cast<std::uint16_t>(from.of[i].per_mille);
    }
    return shares;
}

bool is_well_formed(const wire::ServiceShares& shares) {
    if (shares.count == 0 || shares.count > wire::kSharesMax) return false;
    std::uint32_t sum = 0;
    for (std::uint32_t i = 0; i < shares.count; ++i) {
        if (shares.of[i].per_mille > wire::kSharesWhole) return false;
        sum += shares.of[i].per_mille;
        for (std::uint32_t before = 0; before < i; ++before) {
            if (shares.of[before].release == shares.of[i].release) return false;
        }
    }
    return sum == wire::kSharesWhole;
}

}  // namespace

std::uint16_t place_among(const Shares& shares, const StickyKey& sticky,
                          const http::RequestHead& head, Random& random) {
    const std::string_view key = key_of(sticky, head);
    return static_cast<std::uint16_t>(key.empty() ? any_point(random) : point_of(shares.salt, key));
}

void WorkerParts::place_again(const ExchangeAt& at) {
    const Exchange& waiting = current(at);
    if (waiting.point != kNoPoint) return;
    static thread_local http::RequestHead head;
    const http::HeadResult read =
        http::parse_request_head(request_head_of(segment_, waiting), head);
    const std::uint16_t point = read.state == http::HeadState::Done
                                    ? place_of(waiting.service, head)
                                    : static_cast<std::uint16_t>(any_point(random_));
    commit(at, [&](Exchange& next) { next.point = point; });
}

bool are_well_formed(std::span<const wire::ServiceShares> all) {
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (!is_well_formed(all[i]) || (i > 0 && all[i].service <= all[i - 1].service))
            return false;
    }
    return all.size() <= kServicesMax;
}

void put_shares(Segment& segment, std::span<const wire::ServiceShares> all) {
    for (std::uint32_t place = 0; place < segment.service_count; ++place) {
        ServiceEntry& entry = segment.services[place];
        const auto said = std::find_if(all.begin(), all.end(), [&](const auto& shares) {
            return entry.is_used != 0 && shares.service == entry.id;
        });
        if (said == all.end()) {
            entry.shares.store(0, std::memory_order_release);
            continue;
        }
        const Shares next = read_shares(*said);
        const std::uint32_t now = entry.shares;
        if (now != 0 && std::memcmp(&segment.shares[place][now - 1], &next, sizeof(next)) == 0)
            continue;
        const std::uint32_t other = now == 1 ? 2 : 1;
        segment.shares[place][other - 1] = next;
        entry.shares.store(other, std::memory_order_release);
    }
}

}  // namespace thole::edge
