#include "edge/faulty.h"

#include <algorithm>
#include <bit>

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
    count_matched(choice.matched);
    if (choice.place == kNoLease) return;
    const wire::FaultTerms& terms = leases_.entries[choice.place].terms;
    const bool comes_slowly = is_paced(terms);
    std::int64_t due = worker_.now_ns_;
    if (terms.kind == wire::FaultKind::Delay) {
        const auto spread = static_cast<std::uint64_t>(2 * terms.jitter + 1);
        due +=
            terms.delay - terms.jitter + static_cast<std::int64_t>(worker_.random_.below(spread));
    }
    if (terms.kind == wire::FaultKind::Hang) due += worker_.service_of(at.record).response_head_ns;
    worker_.runtime_.socket(fd).is_paced = comes_slowly;
    // As each end is counted: exactly, wherever a kill comes.
    Counting& counting = worker_.counting_;
    std::atomic<std::uint64_t>& hurt = counting.memory_.leases[choice.place].hurt;
    counting.begin(at.record, fd);
    counting.store_later(hurt, hurt.load(std::memory_order_relaxed) + 1);
    counting.ready();
    commit(at, [&](Exchange& next) {
        next.fault = terms.id;
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

void Faulty::wake_all() {
    for (const std::uint32_t fd : worker_.clients_) {
        if (has_exchange(worker_.runtime_.record(fd)) && worker_.exchange(fd).fault != 0)
            worker_.again_.push_back(fd);
    }
}

}  // namespace thole::edge
