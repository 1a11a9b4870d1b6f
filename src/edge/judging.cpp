#include "edge/judging.h"

#include <algorithm>

#include "edge/ejection.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kJudgeNs = 100'000'000;
constexpr auto kRelaxed = std::memory_order_relaxed;

// What all workers have seen of it.
Totals totals_of(const Segment& segment, std::uint32_t slot, std::uint32_t generation) {
    Totals totals;
    for (const WorkerCounters& worker : segment.counters) {
        const EndpointCounters& counters = worker.endpoints[slot][generation & 1];
        if (counters.generation.load(std::memory_order_acquire) != generation) continue;
        totals.successes += counters.tries_good.load(kRelaxed);
        totals.failures += counters.tries_failed.load(kRelaxed);
        totals.timeouts += counters.tries_late.load(kRelaxed);
    }
    return totals;
}

Standing standing_of(std::uint32_t bits) {
    const std::uint32_t others = bits & ~std::uint32_t{wire::kBitEdge};
    if (others == 0) return Standing::Serves;
    // Control's bit says that it starts or ends: then it is no part of the service's strength.
    return others == wire::kBitOperator ? Standing::Out : Standing::Leaves;
}

}  // namespace

void Judging::list_services() {
    const std::uint64_t sequence = runtime_.table_sequence.load();
    if (sequence == listed_at_) return;
    listed_at_ = sequence;
    services_.clear();
    for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot) {
        const EndpointEntry& entry = runtime_.segment.endpoints[slot];
        if (entry.generation == 0 || (entry.bits & wire::kBitGone) != 0) continue;
        const std::uint32_t id = entry.service;
        auto at = std::find_if(services_.begin(), services_.end(),
                               [id](const Service& service) { return service.id == id; });
        if (at == services_.end()) at = services_.insert(at, {id, {}});
        at->slots.push_back(slot);
    }
}

bool Judging::judge_one(const Service& service, std::int64_t now_ns) {
    Segment& segment = runtime_.segment;
    std::vector<Judged> all;
    for (const std::uint32_t slot : service.slots) {
        const std::uint32_t generation = segment.endpoints[slot].generation;
        KeptHealth& kept = segment.health[slot];
        if (kept.generation != generation) kept = {generation, 0, {}};
        all.push_back({&kept.health, totals_of(segment, slot, generation),
                       standing_of(segment.endpoints[slot].bits)});
    }
    judge(all, now_ns);
    bool has_changed = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
        EndpointEntry& entry = segment.endpoints[service.slots[i]];
        const EndpointHealth& health = *all[i].health;
        entry.is_suspect = health.is_suspect;
        const bool was_out = (entry.bits & wire::kBitEdge) != 0;
        if (was_out == (health.is_out != 0)) continue;
        has_changed = true;
        if (was_out) {
            entry.since_ns = health.back_ns;
            entry.bits.fetch_and(~std::uint32_t{wire::kBitEdge});
        } else {
            entry.bits.fetch_or(wire::kBitEdge);
        }
    }
    return has_changed;
}

bool Judging::judge_all(std::int64_t now_ns) {
    if (now_ns - judged_ns_ < kJudgeNs) return false;
    judged_ns_ = now_ns;
    list_services();
    bool has_changed = false;
    for (const Service& service : services_) has_changed |= judge_one(service, now_ns);
    return has_changed;
}

}  // namespace thole::edge
