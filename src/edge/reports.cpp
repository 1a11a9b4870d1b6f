#include "edge/reports.h"

#include <algorithm>
#include <cstring>

#include "edge/rows.h"

namespace thole::edge {
namespace {

constexpr std::size_t kPage = 256;  // Entries of one message.

std::uint64_t load(const std::atomic<std::uint64_t>& count) {
    return count.load(std::memory_order_relaxed);
}

// False where it was begun anew while it was read.
bool read_counters(const EndpointCounters& from, std::uint32_t generation,
                   wire::EndpointStats& sum) {
    if (from.generation.load(std::memory_order_acquire) != generation) return false;
    const std::uint32_t in_flight = from.in_flight.load(std::memory_order_relaxed);
    sum.in_flight += in_flight;
    sum.begun += load(from.replayed) + in_flight;
    for (std::uint32_t i = 0; i < wire::kOutcomes; ++i) {
        const std::uint64_t count = load(from.outcomes[i]);
        sum.outcomes[i] += count;
        sum.begun += count;
    }
    sum.latency_sum_ns += load(from.latency_sum_ns);
    sum.ended += load(from.ended);
    return from.generation.load(std::memory_order_acquire) == generation;
}

// What has been overwritten before anybody was told of it is lost, and counted first: a kill in
// between may only say too many.
void settle(BrokenRing& ring, std::uint64_t up_to, std::uint64_t lost) {
    if (up_to <= load(ring.settled)) return;
    ring.lost.store(load(ring.lost) + lost, std::memory_order_relaxed);
    ring.settled.store(up_to, std::memory_order_release);
}

}  // namespace

void Reports::begin() {
    is_first_ = true;
    told_.assign(wire::kSlotsMax, Told{});
    told_queued_.reset();
    told_faults_.reset();
    told_broken_.assign(kWorkers, 0);
}

wire::StatsHeader Reports::header() const {
    wire::StatsHeader sum{};
    sum.epoch = runtime_.segment.epoch.load();
    for (const Held& held : runtime_.held) sum.held += held.requests();
    sum.access_written = load(runtime_.segment.access_written);
    sum.access_dropped = load(runtime_.segment.access_dropped);
    for (const WorkerCounters& counters : runtime_.segment.counters) {
        sum.held_ever += load(counters.held_ever);
        sum.replayed_ever += load(counters.replayed_ever);
        sum.diverted_ever += load(counters.diverted_ever);
        sum.added_wait_max_ns = std::max(sum.added_wait_max_ns, counters.added_wait_max_ns.load());
        sum.broken_ever += load(counters.broken.written);
    }
    return sum;
}

// Of the slot's newest generation with this lowest bit; slot kNone where there is none.
wire::EndpointStats Reports::stats_of(std::uint32_t slot, std::uint32_t parity) const {
    const Segment& segment = runtime_.segment;
    const EndpointEntry& entry = segment.endpoints[slot];
    const std::uint32_t newest = entry.generation;
    std::uint32_t generation = (newest & 1) == parity ? newest : 0;
    for (const WorkerCounters& counters : segment.counters)
        generation = std::max(generation, counters.endpoints[slot][parity].generation.load());
    wire::EndpointStats sum{};
    sum.at = {generation == 0 ? kNone : slot, generation};
    if (generation == 0) return sum;
    sum.bits = generation == newest ? entry.bits.load() : std::uint32_t{wire::kBitGone};
    for (const WorkerCounters& counters : segment.counters) {
        wire::EndpointStats next = sum;
        if (read_counters(counters.endpoints[slot][parity], generation, next)) sum = next;
    }
    return sum;
}

bool Reports::send_endpoints(const Send& send) {
    std::vector<wire::EndpointStats> page;
    wire::StatsHeader now = header();
    const bool has_news = is_first_ || std::memcmp(&now, &told_header_, sizeof(now)) != 0;
    now.time = now_ns();
    bool has_sent = false;
    const auto flush = [&] {
        now.count = static_cast<std::uint32_t>(page.size());
        if (!send(frame_of(wire::EdgeMessage::Stats, now, page))) return false;
        for (const wire::EndpointStats& stats : page)
            told_[stats.at.slot].stats[stats.at.generation & 1] = stats;
        page.clear();
        has_sent = true;
        return true;
    };
    for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot) {
        if (runtime_.segment.endpoints[slot].generation == 0) continue;
        for (std::uint32_t parity = 0; parity < 2; ++parity) {
            const wire::EndpointStats stats = stats_of(slot, parity);
            const bool is_known =
                std::memcmp(&stats, &told_[slot].stats[parity], sizeof(stats)) == 0;
            if (stats.at.slot == kNone || is_known) continue;
            page.push_back(stats);
            if (page.size() == kPage && !flush()) return false;
        }
    }
    if (!page.empty() || (has_news && !has_sent)) {
        if (!flush()) return false;
    }
    is_first_ = false;
    now.count = 0;
    now.time = 0;
    told_header_ = now;
    return true;
}

bool Reports::send_broken_of(std::uint32_t worker, const Send& send) {
    BrokenRing& ring = runtime_.segment.counters[worker].broken;
    std::uint64_t& told = told_broken_[worker];
    const std::uint64_t written = ring.written.load(std::memory_order_acquire);
    while (told < written) {
        // The one after the last is being written in the oldest one's place.
        if (written - told >= kBrokenKept) {
            told = written - kBrokenKept + 1;
            settle(ring, told, told - std::min(told, load(ring.settled)));
        }
        std::vector<wire::BrokenRequest> page;
        std::uint64_t at = told;
        for (; at < written && page.size() < kPage; ++at)
            page.push_back(ring.requests[at % kBrokenKept]);
        // What was overwritten meanwhile may not be told half; the next turn sees what is left.
        const std::uint64_t then = ring.written.load(std::memory_order_acquire);
        if (then - told >= kBrokenKept) return true;
        wire::BrokenHeader header{runtime_.segment.epoch.load(),
                                  static_cast<std::uint32_t>(page.size()), 0};
        for (const WorkerCounters& counters : runtime_.segment.counters)
            header.lost += static_cast<std::uint32_t>(load(counters.broken.lost));
        if (!send(frame_of(wire::EdgeMessage::Broken, header, page))) return false;
        told = at;
        settle(ring, told, 0);
    }
    return true;
}

bool Reports::send_broken(const Send& send) {
    for (std::uint32_t worker = 0; worker < kWorkers; ++worker) {
        if (!send_broken_of(worker, send)) return false;
    }
    return true;
}

// All of them, whenever one has changed: they are few.
bool Reports::send_faults(const Send& send) {
    std::vector<wire::FaultState> now;
    for (std::uint32_t place = 0; place < kLeasesMax; ++place) {
        const LeaseEntry& entry = runtime_.segment.leases.entries[place];
        if (entry.id == 0) continue;
        wire::FaultState& state = now.emplace_back();
        state.terms = entry.terms;
        state.terms.until = entry.until_ns;
        state.begun = entry.begun_ns;
        for (const WorkerCounters& counters : runtime_.segment.counters) {
            state.matched += load(counters.leases[place].matched);
            state.hurt += load(counters.leases[place].hurt);
        }
    }
    const bool is_known =
        told_faults_ && told_faults_->size() == now.size() &&
        std::memcmp(told_faults_->data(), now.data(), now.size() * sizeof(now[0])) == 0;
    if (is_known) return true;
    const wire::FaultsHeader header{runtime_.segment.epoch.load(), now_ns(),
                                    static_cast<std::uint32_t>(now.size()), 0};
    if (!send(frame_of(wire::EdgeMessage::Faults, header, now))) return false;
    told_faults_ = std::move(now);
    return true;
}

bool Reports::send_queued(const Send& send) {
    wire::QueuedCount now{};
    now.epoch = runtime_.segment.epoch.load();
    for (const Places& places : runtime_.places) now.queued += places.waiting();
    if (told_queued_ && std::memcmp(&now, &*told_queued_, sizeof(now)) == 0) return true;
    if (!send(wire::seal_message(wire::EdgeMessage::Queued, now))) return false;
    told_queued_ = now;
    return true;
}

void Reports::send_changes(const Send& send) {
    if (send_endpoints(send) && send_broken(send) && send_faults(send)) send_queued(send);
}

}  // namespace thole::edge
