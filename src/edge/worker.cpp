#include "edge/worker.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "edge/tags.h"

namespace thole::edge {
namespace {

constexpr std::size_t kEndedTunnels = 256;  // Remembered.
constexpr int kEventsMax = 128;
// Clients to be looked at in one turn for which no request has to allocate; more are rare, and
// doubled.
constexpr std::size_t kToLookAtAtFirst = 2 * kEventsMax;
// Time limits are looked at so often: each may be late by it, and the shortest is 1 s.
constexpr std::int64_t kSweepNs = 100'000'000;
constexpr std::uintptr_t kPageBytes = 4096;
constexpr std::uint32_t kEnded = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

// A holder that is cloned later is a copy of this process, in which this thread does not run: it
// has no use for what lies below this frame, and would keep it when it becomes the edge.
std::span<char> forget_stack_in_copies() {
    pthread_attr_t attributes;
    if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return {};
    void* lowest = nullptr;
    std::size_t size = 0;
    ::pthread_attr_getstack(&attributes, &lowest, &size);
    ::pthread_attr_destroy(&attributes);
    const auto from = reinterpret_cast<std::uintptr_t>(lowest);
    const auto here =
        reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) & ~(kPageBytes - 1);
    const std::span<char> forgotten(static_cast<char*>(lowest), here - kPageBytes - from);
    ::madvise(forgotten.data(), forgotten.size(), MADV_WIPEONFORK);
    return forgotten;
}

}  // namespace

WorkerParts::WorkerParts(Runtime& runtime, std::uint32_t number)
    : runtime_(runtime),
      segment_(runtime.segment),
      routes_(&segment_.routes[segment_.routes_now]),
      number_(number),
      counting_(runtime.segment.counters[number]),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      random_(static_cast<std::uint64_t>(now_ns()) + number),
      endpoints_(runtime.segment),
      traffic_(runtime.segment.service_count + 1),
      listening_(kListenersMax),
      ended_tunnels_(kEndedTunnels) {}

Worker::Worker(Runtime& runtime, std::uint32_t number)
    : WorkerParts(runtime, number), entrance_(*this), faulty_(*this) {
    CHECK(epoll_.is_open() && wake_.is_open());
    turned_ns_.store(now_ns(), std::memory_order_relaxed);
    again_.reserve(kToLookAtAtFirst);
    ready_.reserve(kToLookAtAtFirst);
}

std::vector<int> Worker::descriptors() const {
    return {epoll_.get(), wake_.get(), callers_.descriptor()};
}

void Worker::adopt_client(std::uint32_t fd) {
    now_ns_ = edge::now_ns();
    Socket& client = runtime_.socket(fd);
    client.owner = number_;
    client.place = static_cast<std::uint32_t>(clients_.size());
    client.since_ns = now_ns();
    clients_.push_back(fd);
    runtime_.clients[number_].fetch_add(1, std::memory_order_relaxed);
    again_.push_back(fd);
    const Record& record = runtime_.record(fd);
    if (const ListenerEntry* const listener = listener_of(record);
        listener != nullptr && record.caller == Caller::NotAsked)
        ask_caller(fd, *listener);
    client.is_paced = has_exchange(record) && exchange(fd).fault != 0;
    if (!has_exchange(record) || exchange(fd).upstream == kNone) return;
    // Where its answer ends is what that memory says. Should that be wrong, the rest is nobody's:
    // no other request goes out on this connection.
    commit(runtime_.exchange(fd), [](Exchange& next) { next.flags |= kUpstreamCloses; });
    const Exchange& now = exchange(fd);
    Socket& upstream = runtime_.socket(now.upstream);
    upstream.owner = number_;
    upstream.other = fd;
    upstream.since_ns = client.since_ns;
    entrance_.adopt(fd, now.upstream);
    take_on(fd);
}

void Worker::adopt_idle(std::uint32_t fd) {
    runtime_.socket(fd).owner = number_;
    runtime_.socket(fd).since_ns = now_ns();
    endpoints_.at(runtime_.record(fd).slot).idle.push_back(fd);
}

void Worker::wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

// Who waited as the edge before died goes in the order in which it would have gone; all others
// first.
void WorkerParts::order_adopted() {
    const auto until_ns = [this](std::uint32_t fd) -> std::int64_t {
        if (!has_exchange(runtime_.record(fd))) return 0;
        const Exchange& now = current(runtime_.exchange(fd));
        if (now.phase != Phase::Ready) return 0;
        const std::int64_t hold_ns =
            now.service.place == kNone ? 0 : segment_.services[now.service.place].hold_ns.load();
        const std::int64_t until = now.attached_ns + hold_ns;
        return now.deadline_ns == 0 ? until : std::min(until, now.deadline_ns);
    };
    std::stable_sort(again_.begin(), again_.end(), [&](std::uint32_t one, std::uint32_t other) {
        return until_ns(one) < until_ns(other);
    });
}

void Worker::run() {
    order_adopted();
    const std::span<char> forgotten = forget_stack_in_copies();
    for (const std::uint32_t fd : clients_) {
        watch(fd);
        if (!has_exchange(runtime_.record(fd))) continue;
        if (const std::uint32_t upstream = exchange(fd).upstream; upstream != kNone)
            watch(upstream);
    }
    for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot) {
        for (const std::uint32_t fd : endpoints_.at(slot).idle) watch(fd);
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kTagWake;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event);
    catch_faults_of(number_, runtime_.fault_stacks[number_], forgotten);
    while (true) {
        turn();
        wait_while_parked();
    }
}

void Worker::wait_while_parked() {
    if (runtime_.is_parking.load(std::memory_order_relaxed) == 0) return;
    runtime_.parked.fetch_add(1);
    runtime_.is_parking.wait(1);
    runtime_.parked.fetch_sub(1);
}

// So long nothing is to be done; to the millisecond after it, because who is woken before its time
// is woken twice.
int Worker::quiet_ms() const {
    if (!again_.empty()) return 0;
    if (alarms_.is_empty()) return static_cast<int>(kSweepNs / 1'000'000);
    return static_cast<int>((alarms_.quiet_ns(edge::now_ns(), kSweepNs) + 999'999) / 1'000'000);
}

void Worker::turn() {
    epoll_event events[kEventsMax];
    const int count = ::epoll_wait(epoll_.get(), events, kEventsMax, quiet_ms());
    now_ns_ = now_ns();
    turned_ns_.store(now_ns_, std::memory_order_relaxed);
    for (int i = 0; i < count; ++i) {
        const std::uint64_t tag = events[i].data.u64;
        if ((tag & kTagListener) != 0) {
            accept_all(static_cast<std::uint32_t>(tag));
        } else if ((tag & kTagWake) != 0) {
            std::uint64_t value = 0;
            [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &value, sizeof(value));
        } else {
            on_ready(static_cast<std::uint32_t>(tag), events[i].events);
        }
    }
    // Before anything is attached in this turn: what main has published counts from here on. After
    // the events: it closes sockets, and whoever gets the number of one is not told of its end.
    apply_table();
    for (Alarms::Alarm alarm{}; alarms_.take(now_ns_, alarm);) {
        if (!is_own_client(alarm.fd)) continue;
        std::int64_t& set_ns = runtime_.socket(alarm.fd).alarm_ns;
        if (set_ns == alarm.at_ns) set_ns = 0;
        again_.push_back(alarm.fd);
    }
    if (runtime_.is_called[number_].load(std::memory_order_relaxed)) entrance_.serve_all();
    if (held_again_ns_ != 0 && now_ns_ >= held_again_ns_) {
        held_again_ns_ = 0;
        look_at_held();
    }
    ready_.clear();
    ready_.swap(again_);
    ++turns_;
    for (const std::uint32_t fd : ready_) {
        segment_.hands[number_].fd = fd;
        if (!is_own_client(fd)) continue;
        // Once, however often it was listed: each of these could list it again.
        if (std::exchange(runtime_.socket(fd).turn, turns_) != turns_) step(fd);
    }
    segment_.hands[number_].fd = kNone;
    if (now_ns_ - swept_ns_ >= kSweepNs) sweep();
}

// A descriptor in one of our lists may have been closed since, and be another worker's by now.
bool Worker::is_own_client(std::uint32_t fd) const {
    return runtime_.sockets[fd].owner == number_ && segment_.records[fd].kind == Kind::Client;
}

void Worker::on_ready(std::uint32_t fd, std::uint32_t events) {
    Socket& socket = runtime_.socket(fd);
    if (socket.owner == kNone) join(fd);
    if (socket.owner != number_) return;
    if ((events & kEnded) != 0) socket.can_read = true;
    if ((events & kEnded & ~std::uint32_t{EPOLLIN}) != 0) socket.may_end = true;
    if ((events & EPOLLOUT) != 0) {
        socket.can_write = true;
        if (std::exchange(socket.is_connecting, false)) socket.made_ns = now_ns_;
    }
    if ((events & EPOLLERR) != 0) socket.is_broken = true;
    switch (runtime_.record(fd).kind) {
        case Kind::Client: again_.push_back(fd); break;
        case Kind::Busy:
            if (socket.other != kNone) again_.push_back(socket.other);
            break;
        case Kind::Idle:
            // Closed, or speaking unasked: either way never used again.
            if ((events & kEnded) != 0) idle_closed(fd);
            break;
        case Kind::Free: break;
    }
}

void Worker::apply_table() {
    const std::uint64_t sequence = runtime_.table_sequence.load(std::memory_order_acquire);
    if (applied_.load(std::memory_order_relaxed) == sequence) return;
    listen_to_all();
    routes_ = &segment_.routes[segment_.routes_now.load(std::memory_order_acquire)];
    endpoints_.apply();
    if (traffic_.size() <= segment_.service_count) traffic_.resize(segment_.service_count + 1);
    close_idle_of_others();
    find_lost_tunnels();
    cut_count_ = 0;
    if (runtime_.cut.slot != kNone) cut(runtime_.cut);
    if (runtime_.drain.at.slot != kNone) begin_drain(runtime_.drain);
    list_in_flight();
    list_under_way(runtime_.asked);
    look_at_held();
    entrance_.look_at_all();
    faulty_.wake_all();
    applied_.store(sequence, std::memory_order_release);
}

// To an instance that does not serve any more nothing goes out.
void Worker::close_idle_of_others() {
    for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot) {
        const EndpointEntry& entry = segment_.endpoints[slot];
        std::vector<std::uint32_t>& idle = endpoints_.at(slot).idle;
        std::size_t kept = 0;
        for (const std::uint32_t fd : idle) {
            if (entry.bits == 0 && runtime_.record(fd).generation == entry.generation) {
                idle[kept++] = fd;
            } else {
                close_socket(fd);
            }
        }
        idle.resize(kept);
    }
}

void Worker::list_in_flight() {
    in_flight_.clear();
    for (const std::uint32_t fd : clients_) {
        if (!has_exchange(runtime_.record(fd)) || exchange(fd).upstream == kNone) continue;
        const Exchange& now = exchange(fd);
        const EndpointEntry& entry = segment_.endpoints[now.slot];
        if (entry.generation == now.generation && entry.bits == 0) continue;
        in_flight_.push_back({{now.slot, now.generation}, now.id});
    }
}

// What has ended is in the black box.
void Worker::list_under_way(const wire::WhyRequest& asked) {
    under_way_.clear();
    if (asked.digits == 0) return;
    for (const std::uint32_t fd : clients_) {
        const Record& record = runtime_.record(fd);
        if (!has_exchange(record)) continue;
        const Exchange& now = exchange(fd);
        const bool is_under_way = now.phase != Phase::Reading && (now.flags & kCounted) == 0;
        if (is_under_way && wire::begins_with(now.id, asked))
            under_way_.push_back(record_of(now, record.caller, end_as(fd, wire::Outcome::Count_)));
    }
}

// Closes what is open to an endpoint whose time is over. What may be sent again goes elsewhere.
void Worker::cut(wire::SlotRef at) {
    for (std::size_t i = clients_.size(); i-- > 0;) {
        const std::uint32_t fd = clients_[i];
        if (!has_exchange(runtime_.record(fd))) continue;
        const Exchange& now = exchange(fd);
        if (now.upstream == kNone || now.slot != at.slot || now.generation != at.generation)
            continue;
        if (now.phase == Phase::Attached && may_replay(fd)) {
            replay(fd, wire::TryEnd::Cut);
            again_.push_back(fd);
            continue;
        }
        ++cut_count_;
        if (now.phase == Phase::Attached) {
            answer(fd, {502, wire::Outcome::Cut, "the instance was stopped before it answered"});
            again_.push_back(fd);
        } else {
            close_client(fd, wire::Outcome::Cut);
        }
    }
}

}  // namespace thole::edge
