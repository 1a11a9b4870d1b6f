#include "edge/faulty.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "edge/worker.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
// At once so many parts of what may come in a second: seldom enough to cost little, and smooth
// enough for who looks at it.
constexpr std::uint64_t kPiecesPerSecond = 20;

bool is_paced(const wire::FaultTerms& terms) {
    return terms.kind == wire::FaultKind::SlowBody || terms.kind == wire::FaultKind::Bandwidth;
}

}  // namespace

Faulty::Faulty(Worker& worker) : worker_(worker), leases_(worker.segment_.leases) {}

void Faulty::choose(std::uint32_t fd, const http::RequestHead& head) {
    if (leases_.live.load(std::memory_order_relaxed) == 0) return;
    const ExchangeAt at = worker_.runtime_.exchange(fd);
    const ListenerEntry* const listener = worker_.listener_of(at.record);
    if (listener == nullptr) return;
    const std::int64_t now = now_ns();  // Not the turn's: no request is hurt after the end.
    const auto drawn = static_cast<std::uint32_t>(worker_.random_.below(1000));
    const FaultChoice choice =
        choose_fault(leases_, {current(at).service.id, listener->caller, head}, now, drawn);
    Socket& client = worker_.runtime_.socket(fd);
    client.aimed = 0;
    for (std::uint64_t left = choice.matched; left != 0; left &= left - 1) {
        if (is_aimed(leases_.entries[std::countr_zero(left)].terms)) client.aimed |= left & -left;
    }
    count_matched(choice.matched & ~client.aimed);
    client.aim = choice.place;
    if (choice.place == kNoLease || is_aimed(leases_.entries[choice.place].terms)) return;
    begin(fd, choice.place, kNone);
}

bool Faulty::meets(std::uint32_t fd, std::uint32_t slot) {
    Socket& client = worker_.runtime_.socket(fd);
    if (client.aimed == 0) return false;
    const std::uint32_t release = worker_.endpoints_.at(slot).release;
    std::uint64_t met = 0;
    for (std::uint64_t left = std::exchange(client.aimed, 0); left != 0; left &= left - 1) {
        const LeaseEntry& entry = leases_.entries[std::countr_zero(left)];
        // The place may be another lease's by now.
        const bool was_on = entry.id.load(std::memory_order_acquire) != 0 &&
                            entry.begun_ns <= worker_.exchange(fd).begun_ns;
        if (was_on && now_ns() < entry.until_ns && hits(entry.terms, slot, release))
            met |= left & -left;
    }
    count_matched(met);
    if (client.aim == kNoLease || (met >> client.aim & 1) == 0) return false;
    begin(fd, client.aim, slot);
    return (worker_.exchange(fd).flags & kFaultDue) != 0;
}

std::uint32_t Faulty::sent_to(const Exchange& exchange) const {
    if (exchange.sent_to == 0) return kNone;
    const std::uint32_t slot = exchange.sent_to - 1U;
    const EndpointEntry& entry = worker_.segment_.endpoints[slot];
    return entry.service == exchange.service.id && entry.bits == 0 ? slot : kNone;
}

// `slot`: where it is sent after it, or kNone.
void Faulty::begin(std::uint32_t fd, std::uint32_t place, std::uint32_t slot) {
    const ExchangeAt at = worker_.runtime_.exchange(fd);
    const wire::FaultTerms& terms = leases_.entries[place].terms;
    const bool comes_slowly = is_paced(terms);
    std::int64_t due = worker_.now_ns_;
    if (terms.kind == wire::FaultKind::Delay) {
        const auto spread = static_cast<std::uint64_t>(2 * terms.jitter + 1);
        due +=
            terms.delay - terms.jitter + static_cast<std::int64_t>(worker_.random_.below(spread));
    }
    if (terms.kind == wire::FaultKind::Hang || terms.kind == wire::FaultKind::Partition)
        due += worker_.service_of(at.record).response_head_ns;
    worker_.runtime_.socket(fd).is_paced = comes_slowly;
    // As each end is counted: exactly, wherever a kill comes.
    Counting& counting = worker_.counting_;
    std::atomic<std::uint64_t>& hurt = counting.memory_.leases[place].hurt;
    counting.begin(at.record, fd);
    counting.store_later(hurt, hurt.load(std::memory_order_relaxed) + 1);
    counting.ready();
    commit(at, [&](Exchange& next) {
        next.fault = terms.id;
        next.sent_to = slot == kNone ? 0 : static_cast<std::uint16_t>(slot + 1);
        if (!comes_slowly) next.flags |= kFaultDue;
        next.attached_ns = due;
    });
    counting.apply();
}

void Faulty::count_matched(std::uint64_t places) {
    for (; places != 0; places &= places - 1) {
        std::atomic<std::uint64_t>& matched =
            worker_.counting_.memory_.leases[std::countr_zero(places)].matched;
        matched.store(matched.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
}

bool Faulty::keeps(std::uint32_t fd) {
    const Exchange& now = worker_.exchange(fd);
    if ((now.flags & kFaultDue) == 0) return false;
    const LeaseEntry* const lease = find_lease(leases_, now.fault, worker_.now_ns_);
    if (lease != nullptr && carry_out(fd, *lease)) return true;
    let_go(fd);
    return false;
}

// False where all of it was done.
bool Faulty::carry_out(std::uint32_t fd, const LeaseEntry& lease) {
    const Exchange& now = worker_.exchange(fd);
    const bool has_waited = worker_.now_ns_ >= now.attached_ns;
    switch (lease.terms.kind) {
        case wire::FaultKind::Abort:
            worker_.answer(fd, {static_cast<std::uint16_t>(lease.terms.status),
                                wire::Outcome::Injected, "a fault on purpose"});
            worker_.again_.push_back(fd);
            return true;
        case wire::FaultKind::Reset:
            set_closing(static_cast<int>(fd), Closing::Reset);
            worker_.close_client(fd, wire::Outcome::Injected);
            return true;
        case wire::FaultKind::Delay:
        case wire::FaultKind::Hang:
        case wire::FaultKind::Partition:
            if (!has_waited) {
                look_again(fd, std::min(now.attached_ns, lease.until_ns.load()));
                return true;
            }
            if (lease.terms.kind == wire::FaultKind::Delay) return false;
            worker_.answer(fd, {504, wire::Outcome::Injected, "a fault on purpose"});
            worker_.again_.push_back(fd);
            return true;
        case wire::FaultKind::SlowBody:
        case wire::FaultKind::Bandwidth:
        case wire::FaultKind::Count_: break;
    }
    return false;
}

// Its own wait begins now.
void Faulty::let_go(std::uint32_t fd) {
    commit(worker_.runtime_.exchange(fd), [this](Exchange& next) {
        next.flags &= ~kFaultDue;
        next.attached_ns = worker_.now_ns_;
    });
}

std::uint64_t Faulty::pace(std::uint32_t from, std::uint32_t to, std::uint64_t at,
                           std::uint64_t limit) {
    Runtime& runtime = worker_.runtime_;
    const bool is_answer = runtime.record(to).kind == Kind::Client;
    const std::uint32_t fd = is_answer ? to : from;
    const LeaseEntry* const lease =
        find_lease(leases_, worker_.exchange(fd).fault, worker_.now_ns_);
    if (lease == nullptr || !is_paced(lease->terms)) {
        runtime.socket(fd).is_paced = false;
        return limit;
    }
    if (lease->terms.kind == wire::FaultKind::SlowBody && !is_answer) return limit;
    Socket& target = runtime.socket(to);
    if (worker_.now_ns_ < target.paced_ns) {
        look_again(fd, std::min(target.paced_ns, lease->until_ns.load()));
        return at;
    }
    const std::uint64_t rate = lease->terms.rate;
    const std::uint64_t piece = std::max<std::uint64_t>(1, rate / kPiecesPerSecond);
    const std::uint64_t bytes = std::min(limit - at, piece);
    target.paced_ns = worker_.now_ns_ + static_cast<std::int64_t>(bytes * kNsPerSecond / rate);
    return at + bytes;
}

void Faulty::look_again(std::uint32_t client, std::int64_t at_ns) {
    worker_.alarms_.set(client, worker_.runtime_.socket(client).alarm_ns, at_ns);
}

bool Faulty::is_cut_off(std::uint32_t fd) {
    const Exchange& now = worker_.exchange(fd);
    if (now.phase == Phase::Reading || now.phase == Phase::Ready || (now.flags & kOwnAnswer) != 0)
        return false;
    const LeaseEntry* const lease = find_lease(leases_, now.fault, worker_.now_ns_);
    if (lease == nullptr || lease->terms.kind != wire::FaultKind::Partition) return false;
    look_again(fd, lease->until_ns);
    return true;
}

void Faulty::sweep_cut_off(std::uint32_t fd) {
    const Exchange& now = worker_.exchange(fd);
    const ServiceEntry& limits = worker_.service_of(worker_.runtime_.record(fd));
    const bool may_be_silent = now.phase == Phase::Tunnel || (now.flags & kEventStream) != 0;
    const std::int64_t limit_ns = now.phase == Phase::Attached ? limits.response_head_ns
                                  : may_be_silent              ? limits.tunnel_ns
                                                               : limits.idle_ns;
    const std::int64_t since_ns = std::max(worker_.runtime_.socket(fd).since_ns,
                                           worker_.runtime_.socket(now.upstream).since_ns);
    if (worker_.now_ns_ - since_ns <= limit_ns) return;
    if (now.phase != Phase::Attached) return worker_.close_client(fd, wire::Outcome::Injected);
    worker_.answer(fd, {504, wire::Outcome::Injected, "a fault on purpose"});
    worker_.again_.push_back(fd);
}

// What is under way as a partition begins: what waits is hurt as what comes later, all else stays
// as it is.
void Faulty::cut_off(std::uint32_t fd) {
    const ExchangeAt at = worker_.runtime_.exchange(fd);
    const Exchange& now = current(at);
    const ListenerEntry* const listener = worker_.listener_of(at.record);
    const bool has_begun =
        now.phase != Phase::Reading && (now.flags & (kCounted | kOwnAnswer)) == 0;
    if (listener == nullptr || !has_begun) return;
    const LeaseEntry* const lease =
        find_partition(leases_, now.service.id, listener->caller, worker_.now_ns_);
    if (lease == nullptr || now.fault == lease->id) return;
    const auto place = static_cast<std::uint32_t>(lease - leases_.entries);
    count_matched(std::uint64_t{1} << place);
    begin(fd, place, kNone);
    if (now.phase == Phase::Ready) {
        // What reaches nobody takes no place from others.
        worker_.entrance_.leave(fd);
        worker_.unhold(fd);
    } else {
        worker_.runtime_.socket(fd).is_paced = true;
    }
}

void Faulty::wake_all() {
    for (const std::uint32_t fd : worker_.clients_) {
        if (!has_exchange(worker_.runtime_.record(fd))) continue;
        if (leases_.live.load(std::memory_order_relaxed) != 0) cut_off(fd);
        if (worker_.exchange(fd).fault != 0) worker_.again_.push_back(fd);
    }
}

}  // namespace thole::edge
