#include "edge/counting.h"
#include "os/fault_point.h"

#include <algorithm>
#include <cstring>

namespace thole::edge {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

void add(std::atomic<std::uint64_t>& counter, std::uint64_t more) {
    counter.store(counter.load(kRelaxed) + more, kRelaxed);
}

bool has_latency(const Exchange& exchange, wire::Outcome outcome) {
    return outcome <= wire::Outcome::ServerError && exchange.phase != Phase::Tunnel &&
           (exchange.flags & kEventStream) == 0 && exchange.fault == 0;
}

// Whether control is to hear of this one by its id.
bool is_broken(const Exchange& exchange, wire::Outcome outcome) {
    switch (outcome) {
        case wire::Outcome::Reset:
        case wire::Outcome::Cut: return true;
        case wire::Outcome::TimedOut: return exchange.phase != Phase::Ready;
        case wire::Outcome::Informational:
        case wire::Outcome::Success:
        case wire::Outcome::Redirect:
        case wire::Outcome::ClientError:
        case wire::Outcome::ServerError:
        case wire::Outcome::ConnectFailed:
        case wire::Outcome::Overloaded:
        case wire::Outcome::Refused:
        case wire::Outcome::Injected:
        // Nobody waited for it any more: its client knows, and it is counted as such.
        case wire::Outcome::ClientGone:
        case wire::Outcome::Count_: return false;
    }
    return false;
}

}  // namespace

wire::Outcome outcome_of(std::uint32_t status) {
    if (status < 200) return wire::Outcome::Informational;
    if (status < 300) return wire::Outcome::Success;
    if (status < 400) return wire::Outcome::Redirect;
    return status < 500 ? wire::Outcome::ClientError : wire::Outcome::ServerError;
}

// Nothing where the slot has gone on by two generations.
EndpointCounters* Counting::find(wire::SlotRef at) {
    if (at.slot >= wire::kSlotsMax) return nullptr;
    EndpointCounters& counters = memory_.endpoints[at.slot][at.generation & 1];
    const std::uint32_t before = counters.generation.load(kRelaxed);
    if (before == at.generation) return &counters;
    if (before > at.generation) return nullptr;
    counters.generation.store(0, std::memory_order_release);
    FAULT_POINT("counts, nobody's");
    counters.in_flight.store(0, kRelaxed);
    for (std::atomic<std::uint64_t>& count : counters.outcomes) count.store(0, kRelaxed);
    counters.replayed.store(0, kRelaxed);
    counters.tries_good.store(0, kRelaxed);
    counters.tries_failed.store(0, kRelaxed);
    counters.tries_late.store(0, kRelaxed);
    counters.latency_sum_ns.store(0, kRelaxed);
    counters.ended.store(0, kRelaxed);
    for (std::atomic<std::uint64_t>& count : memory_.latencies[at.slot][at.generation & 1].counts)
        count.store(0, kRelaxed);
    counters.generation.store(at.generation, std::memory_order_release);
    return &counters;
}

// Its place. Never by the generation: an instance that takes another's place goes on with its
// counts.
std::uint32_t Counting::route_of(const Exchange& exchange, std::int64_t now_ns) {
    std::uint32_t place = (exchange.listener * 2654435761U) ^ (exchange.release * 40503U) ^
                          (exchange.slot * 2246822519U);
    std::uint32_t oldest = kRoutesMax - 1;
    std::int64_t oldest_ns = now_ns - kRouteIdleNs;
    for (std::uint32_t tries = 0; tries < 64; ++tries, ++place) {
        const std::uint32_t at = place % (kRoutesMax - 1);
        const RouteCounters& route = memory_.routes[at];
        if (route.is_used.load(kRelaxed) == 0) {
            take_route(at, exchange);
            return at;
        }
        if (route.listener == exchange.listener && route.release == exchange.release &&
            route.slot == exchange.slot)
            return at;
        const std::int64_t used_ns = route.used_ns.load(kRelaxed);
        if (route.has_gone.load(kRelaxed) == 0 || used_ns >= oldest_ns) continue;
        oldest = at;
        oldest_ns = used_ns;
    }
    if (oldest < kRoutesMax - 1) {
        take_route(oldest, exchange);
        return oldest;
    }
    RouteCounters& others = memory_.routes[oldest];
    others.slot = kNone;
    mark_used(oldest);
    others.is_used.store(1, std::memory_order_release);
    return oldest;
}

void Counting::mark_used(std::uint32_t place) {
    std::atomic<std::uint64_t>& bits = memory_.routes_used[place / 64];
    bits.store(bits.load(kRelaxed) | std::uint64_t{1} << place % 64, std::memory_order_release);
}

// Whatever was counted there is not this one's, also where a kill came in the midst of this.
void Counting::take_route(std::uint32_t place, const Exchange& exchange) {
    RouteCounters& route = memory_.routes[place];
    route.is_used.store(0, std::memory_order_release);
    for (std::uint32_t outcome = 0; outcome < wire::kOutcomes; ++outcome) {
        if (route.outcomes[outcome].load(kRelaxed) == 0) continue;
        // Only where something was counted: untouched memory takes no room.
        if (outcome < wire::kTimedOutcomes) {
            route.latency_sum_ns[outcome].store(0, kRelaxed);
            for (auto& count : memory_.route_latencies[place].of[outcome].counts)
                count.store(0, kRelaxed);
        }
        route.outcomes[outcome].store(0, std::memory_order_release);
    }
    for (auto* const count : {&route.retried, &route.held, &route.added_wait_max_us})
        count->store(0, std::memory_order_release);
    route.listener = exchange.listener;
    route.release = exchange.release;
    route.slot = exchange.slot;
    route.has_gone.store(0, kRelaxed);
    mark_used(place);
    route.is_used.store(1, std::memory_order_release);
}

void Counting::attached(wire::SlotRef at) {
    if (EndpointCounters* const counters = find(at); counters != nullptr)
        counters->in_flight.store(counters->in_flight.load(kRelaxed) + 1, kRelaxed);
}

void Counting::tried(wire::SlotRef at, Try how) {
    EndpointCounters* const counters = find(at);
    if (counters == nullptr) return;
    add(how == Try::Good     ? counters->tries_good
        : how == Try::Failed ? counters->tries_failed
                             : counters->tries_late,
        1);
}

void Counting::released(wire::SlotRef at) {
    EndpointCounters* const counters = find(at);
    if (counters == nullptr) return;
    const std::uint32_t before = counters->in_flight.load(kRelaxed);
    if (before > 0) counters->in_flight.store(before - 1, kRelaxed);
}

void Counting::waited(std::int64_t added_ns) {
    if (added_ns > memory_.added_wait_max_ns.load(kRelaxed))
        memory_.added_wait_max_ns.store(added_ns, kRelaxed);
}

void Counting::held() { add(memory_.held_ever, 1); }

void Counting::diverted() { add(memory_.diverted_ever, 1); }

void Counting::begin(const Record& record, std::uint32_t fd) {
    count_ = 0;
    memory_.redo.fd = fd;
    memory_.redo.cookie = record.cookie;
    memory_.redo.commit = commits_of(record) + 1;
}

void Counting::store_later(std::atomic<std::uint64_t>& counter, std::uint64_t value) {
    const auto offset = static_cast<std::uint64_t>(reinterpret_cast<const char*>(&counter) -
                                                   reinterpret_cast<const char*>(&memory_));
    memory_.redo.stores[count_++] = {offset, value};
}

void Counting::ready() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    FAULT_POINT("redo, not ready");
    memory_.redo.count = count_;
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

void Counting::end_whole(const ExchangeAt& at, std::uint32_t fd, const End& how) {
    const bool is_counted = (current(at).flags & kCounted) != 0;
    if (!is_counted) prepare_end(at, fd, how);
    end_exchange(at);
    if (!is_counted) apply();
}

void Counting::prepare_end(const ExchangeAt& of, std::uint32_t fd, const End& how) {
    const Exchange& exchange = current(of);
    const auto outcome = static_cast<std::uint32_t>(how.outcome);
    begin(of.record, fd);
    const auto took_ns =
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, how.now_ns - exchange.attached_ns));
    const std::uint32_t bucket = latency_bucket(took_ns / 1000);
    const bool is_timed = has_latency(exchange, how.outcome);
    const auto one_more = [this](std::atomic<std::uint64_t>& counter) {
        store_later(counter, counter.load(kRelaxed) + 1);
    };
    const std::uint32_t place = route_of(exchange, how.now_ns);
    RouteCounters& route = memory_.routes[place];
    route.used_ns.store(how.now_ns, kRelaxed);
    if (is_timed) {
        one_more(memory_.route_latencies[place].of[outcome].counts[bucket]);
        store_later(route.latency_sum_ns[outcome],
                    route.latency_sum_ns[outcome].load(kRelaxed) + took_ns);
    }
    const wire::RequestRecord ended = record_of(exchange, of.record.caller, how);
    count_troubles(route, ended);
    one_more(route.outcomes[outcome]);
    const wire::SlotRef at{exchange.slot, exchange.generation};
    if (EndpointCounters* const counters = find(at); counters != nullptr) {
        one_more(counters->outcomes[outcome]);
        if (exchange.response.tail != Tail::None && how.outcome != wire::Outcome::Cut)
            one_more(counters->ended);
        if (is_timed) {
            store_later(counters->latency_sum_ns,
                        counters->latency_sum_ns.load(kRelaxed) + took_ns);
            one_more(memory_.latencies[at.slot][at.generation & 1].counts[bucket]);
        }
    }
    if (is_broken(exchange, how.outcome)) keep_broken(exchange, how);
    FAULT_POINT("end, listed and not in the box");
    memory_.box.put(ended);
    one_more(memory_.box.written);
    ready();
}

// What its release is to answer for beside how it ended.
void Counting::count_troubles(RouteCounters& route, const wire::RequestRecord& ended) {
    const auto one_more = [this](std::atomic<std::uint64_t>& counter) {
        store_later(counter, counter.load(kRelaxed) + 1);
    };
    const bool was_held = (ended.flags & wire::kRequestHeld) != 0;
    if (ended.attempts > 1) one_more(route.retried);
    if (was_held) one_more(route.held);
    if (ended.attempts <= 1 && !was_held) return;
    const std::uint64_t waited_us = std::max(ended.held_us, ended.attached_us);
    if (waited_us > route.added_wait_max_us.load(kRelaxed))
        store_later(route.added_wait_max_us, waited_us);
}

void Counting::prepare_replay(const ExchangeAt& of, std::uint32_t fd) {
    const Exchange& exchange = current(of);
    begin(of.record, fd);
    store_later(memory_.replayed_ever, memory_.replayed_ever.load(kRelaxed) + 1);
    if (EndpointCounters* const counters = find({exchange.slot, exchange.generation});
        counters != nullptr)
        store_later(counters->replayed, counters->replayed.load(kRelaxed) + 1);
    ready();
}

void Counting::broke_after_all(const Exchange& exchange, const End& how) {
    count_ = 0;
    memory_.redo.cookie = 0;  // Of no commit: after a death in between it is not done again.
    keep_broken(exchange, how);
    ready();
    apply();
}

// Into the place after the last; it is seen once the count stands.
void Counting::keep_broken(const Exchange& exchange, const End& how) {
    BrokenRing& ring = memory_.broken;
    const std::uint64_t written = ring.written.load(kRelaxed);
    wire::BrokenRequest& request = ring.requests[written % kBrokenKept];
    request = {};
    request.request = exchange.id;
    request.at = {exchange.slot, exchange.generation};
    request.begun = exchange.begun_ns;
    request.outcome = how.outcome;
    request.listener = exchange.listener;
    // Method and path: up to the version.
    std::string_view line = how.head.substr(0, how.head.find("\r\n"));
    line = line.substr(0, line.rfind(' '));
    std::memcpy(request.target, line.data(), std::min(line.size(), sizeof(request.target) - 1));
    store_later(ring.written, written + 1);
}

void Counting::apply() {
    Redo& redo = memory_.redo;
    char* const base = reinterpret_cast<char*>(&memory_);
    for (std::uint32_t i = 0; i < redo.count; ++i) {
        const std::uint64_t offset = redo.stores[i].offset;
        if (offset % sizeof(std::uint64_t) != 0 || offset >= sizeof(WorkerCounters)) continue;
        reinterpret_cast<std::atomic<std::uint64_t>*>(base + offset)
            ->store(redo.stores[i].value, std::memory_order_release);
        FAULT_POINT("redo, half done");
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
    redo.count = 0;
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

void Counting::recover(std::span<const Record> records) {
    Redo& redo = memory_.redo;
    if (redo.count > Redo::kStoresMax) redo.count = 0;
    if (redo.count != 0 && redo.fd < records.size()) {
        const Record& record = records[redo.fd];
        if (record.cookie == redo.cookie && commits_of(record) >= redo.commit) apply();
    }
    redo.count = 0;
}

void Counting::forget_in_flight(std::uint32_t slot) {
    for (EndpointCounters& counters : memory_.endpoints[slot])
        counters.in_flight.store(0, kRelaxed);
}

}  // namespace thole::edge
