#include "edge/adopt.h"

#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "edge/flow.h"
#include "edge/positions.h"
#include "edge/soundness.h"
#include "edge/worker.h"
#include "os/fault_point.h"

namespace thole::edge {
namespace {

std::vector<int> open_descriptors() {
    std::vector<int> found;
    DIR* const folder = ::opendir("/proc/self/fd");
    if (folder == nullptr) return found;
    while (const dirent* entry = ::readdir(folder)) {
        int fd = -1;
        const char* const end = entry->d_name + std::strlen(entry->d_name);
        const auto [rest, error] = std::from_chars(entry->d_name, end, fd);
        if (error == std::errc{} && rest == end && fd != ::dirfd(folder)) found.push_back(fd);
    }
    ::closedir(folder);
    return found;
}

// Counts an exchange that ends with its edge: as lost, but where only closing was left to do.
void count_lost(Segment& segment, std::uint32_t fd) {
    Record& record = segment.records[fd];
    if (block_of(record) >= kExchanges) return;  // Nothing was under way.
    const ExchangeAt at = exchange_of(segment, fd);
    const Exchange& now = current(at);
    if (!is_sound(record, now, now_ns())) return;
    if (now.phase == Phase::Reading || (now.flags & kCounted) != 0) return;
    const wire::Outcome outcome =
        record.shut == kShutWhole ? outcome_of(now.status) : wire::Outcome::Reset;
    End how{outcome, now_ns(), request_head_of(segment, now)};
    if (now.service.id != kNone) how.service = now.service.id;
    if (outcome == wire::Outcome::Reset) how.why = "it was lost with the edge that had it";
    Counting(segment.counters[0]).end(at, fd, how, [](Exchange&) {});
}

class Adoption {
public:
    explicit Adoption(Runtime& runtime)
        : runtime_(runtime),
          rings_(kRings, false),
          heads_(kHeads, false),
          exchanges_(kExchanges, false),
          claimed_(kDescriptorsMax, false) {}
    Adopted run(std::span<const int> keep);

private:
    bool is_ours(int fd, std::span<const int> keep) const;
    void look_at(int fd);
    std::uint32_t listener_behind(int fd) const;
    bool connection_holds(std::uint32_t fd) const;
    bool exchange_holds(std::uint32_t fd) const;
    bool upstream_holds(std::uint32_t fd) const;
    bool is_free(std::uint32_t block, const std::vector<bool>& taken) const;
    void give_blocks();
    void prepare_lost(const Exchange& exchange);
    void take_client(std::uint32_t fd);
    void take_upstream(std::uint32_t fd);
    void close(std::uint32_t fd);
    Worker& next_worker() { return *runtime_.workers[turn_++ % runtime_.workers.size()]; }

    Runtime& runtime_;
    std::vector<bool> rings_, heads_, exchanges_, claimed_;
    std::size_t turn_ = 0;
    std::uint32_t poison_ = kNone;  // The client over whose request the edge before faulted.
    Adopted adopted_;
};

bool Adoption::is_ours(int fd, std::span<const int> keep) const {
    const Segment& segment = runtime_.segment;
    if (fd <= 2 || fd == segment.control_listener || fd == segment.memory) return true;
    if (std::find(keep.begin(), keep.end(), fd) != keep.end()) return true;
    for (std::uint32_t i = 0; i < segment.listener_count; ++i) {
        if (segment.listeners[i].id != 0 && segment.listeners[i].fd == fd) return true;
    }
    return false;
}

// The place of the listener a connection came by, from its local address; kNone where it is none
// of ours.
std::uint32_t Adoption::listener_behind(int fd) const {
    sockaddr_in local{};
    socklen_t size = sizeof(local);
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) != 0 ||
        local.sin_family != AF_INET)
        return kNone;
    for (std::uint32_t i = 0; i < runtime_.segment.listener_count; ++i) {
        sockaddr_in at{};
        size = sizeof(at);
        const ListenerEntry& listener = runtime_.segment.listeners[i];
        if (listener.id == 0) continue;
        if (::getsockname(listener.fd, reinterpret_cast<sockaddr*>(&at), &size) != 0) continue;
        const bool same_address =
            at.sin_addr.s_addr == INADDR_ANY || at.sin_addr.s_addr == local.sin_addr.s_addr;
        if (at.sin_port == local.sin_port && same_address) return i;
    }
    return kNone;
}

void Adoption::close(std::uint32_t fd) {
    runtime_.record(fd).kind = Kind::Free;
    if (runtime_.socket(fd).is_open) runtime_.open.fetch_sub(1, std::memory_order_relaxed);
    runtime_.socket(fd) = Socket{};
    ::close(static_cast<int>(fd));
}

void Adoption::look_at(int fd) {
    const std::uint64_t cookie = cookie_of(fd);
    int listens = 0;
    socklen_t size = sizeof(listens);
    const bool is_socket = ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0;
    if (fd >= static_cast<int>(kDescriptorsMax) || cookie == 0 || !is_socket || listens != 0) {
        ::close(fd);  // Epolls, pidfds, eventfds and links of the dead.
        return;
    }
    const auto number = static_cast<std::uint32_t>(fd);
    Record& record = runtime_.record(number);
    if (record.kind == Kind::Free || record.cookie != cookie) {
        const std::optional<Positions> at = positions_of(fd, Opened::ByPeer);
        const std::uint32_t place = listener_behind(fd);
        if (!at || at->is_connecting || at->in != 0 || at->out != 0 || place == kNone) {
            ::close(fd);
            return;
        }
        open_client(record, fd, runtime_.segment.listeners[place].id, place);
        ++adopted_.fresh;
    }
    const Opened opened = record.kind == Kind::Client ? Opened::ByPeer : Opened::ByUs;
    const OurEnd our_end = record.shut == kShutHalf ? OurEnd::MayBeShut : OurEnd::Open;
    const std::optional<Positions> at = positions_of(fd, opened, our_end);
    Socket& socket = runtime_.socket(number);
    socket = Socket{};
    runtime_.open.fetch_add(1, std::memory_order_relaxed);
    socket.is_open = true;
    if (at) {
        socket.in = at->in;
        socket.out = at->out;
        socket.is_connecting = at->is_connecting;
        return;
    }
    const bool may_be_replayed = record.kind == Kind::Busy && our_end == OurEnd::Open;
    const std::optional<std::uint64_t> written =
        may_be_replayed ? written_before_reset(fd) : std::nullopt;
    if (!written) {
        close(number);
        return;
    }
    socket.out = *written;
    socket.is_broken = true;
}

// Its instance has reset the connection, or refused it, and nobody has looked yet: what that makes
// of the request is its worker's to say. An answer that may be in the kernel is read where nothing
// of it was read before: then it is known where it begins.
void Adoption::prepare_lost(const Exchange& exchange) {
    if (exchange.phase != Phase::Attached || exchange.upstream >= kDescriptorsMax) return;
    Socket& upstream = runtime_.socket(exchange.upstream);
    if (!upstream.is_open || !upstream.is_broken ||
        runtime_.record(exchange.upstream).cookie != exchange.upstream_cookie)
        return;
    upstream.in = exchange.upstream_in_start;
    upstream.can_read = runtime_.record(exchange.upstream).ring == kNone;
    upstream.has_ended = !upstream.can_read;
}

// A block that is named twice is given to whoever comes first: the other one's bytes would be read
// as its own.
bool Adoption::is_free(std::uint32_t block, const std::vector<bool>& taken) const {
    return block == kNone || (block < taken.size() && !taken[block]);
}

// Everything has to fit together: a wrong position would send one user's bytes to another.
bool Adoption::connection_holds(std::uint32_t fd) const {
    const Record& record = runtime_.record(fd);
    if (!is_free(record.ring, rings_)) return false;
    if (record.caller > Caller::Wrong || record.listener_place >= kListenersMax) return false;
    if (has_exchange(record)) return is_free(block_of(record), exchanges_) && exchange_holds(fd);
    const std::uint64_t in = runtime_.socket(fd).in;
    if (in < record.idle_in || in - record.idle_in > kRingBytes) return false;
    if (!owns_ring(runtime_.segment, record, {record.idle_in, in})) return false;
    return in == record.idle_in || record.ring != kNone;
}

bool Adoption::exchange_holds(std::uint32_t fd) const {
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    const Socket& client = runtime_.socket(fd);
    if (!is_sound(at.record, now, now_ns()) || client.in < now.in_start) return false;
    if (now.phase == Phase::Reading)
        return owns_ring(runtime_.segment, at.record, {now.in_start, client.in});
    const bool shares_a_head = now.request.head == now.response.head && now.request.head != kNone;
    if (shares_a_head || !is_free(now.request.head, heads_) || !is_free(now.response.head, heads_))
        return false;
    if (!owns_head(runtime_.segment, at.record, now.request) ||
        !owns_head(runtime_.segment, at.record, now.response))
        return false;
    if ((now.flags & kOwnAnswer) != 0)
        return now.phase == Phase::Answering && now.response.head != kNone &&
               holds(now.response, client.out, 0, kRingBytes);
    if (now.request.head == kNone || client.in < now.request.in_body) return false;
    if (now.upstream == kNone)
        return now.phase == Phase::Ready &&
               owns_ring(runtime_.segment, at.record, {now.request.in_body, client.in});
    return upstream_holds(fd);
}

bool Adoption::upstream_holds(std::uint32_t fd) const {
    const ExchangeAt at = runtime_.exchange(fd);
    const Exchange& now = current(at);
    const Socket& client = runtime_.socket(fd);
    if (now.upstream >= kDescriptorsMax || claimed_[now.upstream]) return false;
    const Record& other = runtime_.record(now.upstream);
    const Socket& upstream = runtime_.socket(now.upstream);
    if (!upstream.is_open || other.cookie != now.upstream_cookie || other.kind != Kind::Busy ||
        other.slot != now.slot || other.slot >= wire::kSlotsMax)
        return false;
    if (upstream.is_broken && now.phase != Phase::Attached) return false;
    if (!is_free(other.ring, rings_) || (other.ring != kNone && other.ring == at.record.ring))
        return false;
    if (!holds(now.request, upstream.out, client.in, kRingBytes)) return false;
    if (upstream.in < now.upstream_in_start) return false;
    // Until its answer has begun it may be sent again.
    const bool may_begin_anew =
        now.phase == Phase::Attached && client.in - now.request.in_body <= kRingBytes;
    const std::uint64_t from =
        may_begin_anew ? now.request.in_body : wanted_from(now.request, upstream.out, client.in);
    if (!owns_ring(runtime_.segment, at.record, {from, client.in})) return false;
    const std::uint64_t told = now.phase == Phase::Attached
                                   ? now.upstream_in_start
                                   : wanted_from(now.response, client.out, upstream.in);
    if (!owns_ring(runtime_.segment, other, {told, upstream.in})) return false;
    if (now.phase == Phase::Attached) return upstream.in - now.upstream_in_start <= kRingBytes;
    // Its room is given back once it is passed on.
    const bool has_head = now.response.head != kNone || head_left(now.response, client.out) == 0;
    return has_head && holds(now.response, client.out, upstream.in, kRingBytes);
}

void Adoption::take_client(std::uint32_t fd) {
    const Record& record = runtime_.record(fd);
    if (record.shut == kShutWhole) {  // All was passed on; it only had to be closed.
        count_lost(runtime_.segment, fd);
        ::shutdown(static_cast<int>(fd), SHUT_WR);
        close(fd);
        return;
    }
    if (block_of(record) < kExchanges) prepare_lost(current(runtime_.exchange(fd)));
    if (!connection_holds(fd)) {
        // A block that is another's, in damaged memory, is not written to.
        if (is_free(block_of(record), exchanges_)) count_lost(runtime_.segment, fd);
        ++adopted_.closed;
        close(fd);
        return;
    }
    ++adopted_.clients;
    FAULT_POINT("adopt, a client");
    if (record.ring != kNone) rings_[record.ring] = true;
    runtime_.socket(fd).is_poison = fd == poison_;
    if (has_exchange(record)) {
        exchanges_[block_of(record)] = true;
        const Exchange& now = current(runtime_.exchange(fd));
        for (const std::uint32_t head : {now.request.head, now.response.head}) {
            if (head != kNone) heads_[head] = true;
        }
        if (now.upstream != kNone) {
            claimed_[now.upstream] = true;
            const std::uint32_t ring = runtime_.record(now.upstream).ring;
            if (ring != kNone) rings_[ring] = true;
        }
    }
    next_worker().adopt_client(fd);
}

void Adoption::take_upstream(std::uint32_t fd) {
    const Record& record = runtime_.record(fd);
    const Socket& socket = runtime_.socket(fd);
    const EndpointEntry& endpoint = runtime_.segment.endpoints[record.slot % wire::kSlotsMax];
    const bool is_idle = record.kind == Kind::Idle && record.slot < wire::kSlotsMax &&
                         record.idle_in == socket.in && record.idle_out == socket.out &&
                         record.ring == kNone && endpoint.bits == 0 &&
                         endpoint.generation == record.generation;
    if (!is_idle) {
        close(fd);
        return;
    }
    ++adopted_.idle;
    next_worker().adopt_idle(fd);
}

// What is nobody's, in equal shares.
void Adoption::give_blocks() {
    std::uint32_t used = kExchanges;
    while (used > 0 && !exchanges_[used - 1]) --used;
    for (std::uint32_t worker = 0; worker < kWorkers; ++worker) {
        Blocks free;
        for (std::uint32_t i = worker; i < runtime_.room.rings; i += kWorkers, ++free.rings_total) {
            if (!rings_[i]) free.rings.push_back(i);
        }
        for (std::uint32_t i = worker; i < runtime_.room.heads; i += kWorkers, ++free.heads_total) {
            if (!heads_[i]) free.heads.push_back(i);
        }
        std::uint32_t block = worker;
        for (; block < used; block += kWorkers) {
            if (!exchanges_[block]) free.exchanges.push_back(block);
        }
        free.exchanges_untouched = block;
        runtime_.workers[worker]->give(std::move(free));
    }
}

Adopted Adoption::run(std::span<const int> keep) {
    Segment& segment = runtime_.segment;
    for (WorkerCounters& counters : segment.counters) {
        Counting counting(counters);
        counting.recover(segment.records);
        for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot) {
            if (segment.endpoints[slot].generation != 0) counting.forget_in_flight(slot);
        }
    }
    if (const std::uint32_t worker = std::exchange(segment.faults.worker, 0);
        worker != 0 && worker <= kWorkers)
        poison_ = segment.hands[worker - 1].fd;
    for (Hand& hand : segment.hands) hand.fd = kNone;
    FAULT_POINT("adopt, counts recovered");
    // Dropped by the snapshot, and not closed any more: closed below, being nobody's.
    for (std::uint32_t i = 0; i < segment.listener_count; ++i) {
        if (segment.listeners[i].id == 0) segment.listeners[i].fd = -1;
    }
    for (const int fd : open_descriptors()) {
        if (!is_ours(fd, keep)) look_at(fd);
    }
    for (std::uint32_t fd = 0; fd < kDescriptorsMax; ++fd) {
        if (runtime_.socket(fd).is_open && runtime_.record(fd).kind == Kind::Client)
            take_client(fd);
    }
    for (std::uint32_t fd = 0; fd < kDescriptorsMax; ++fd) {
        const bool is_upstream =
            runtime_.socket(fd).is_open && runtime_.record(fd).kind != Kind::Client;
        if (is_upstream && !claimed_[fd]) take_upstream(fd);
    }
    FAULT_POINT("adopt, no blocks");
    give_blocks();
    return adopted_;
}

}  // namespace

void count_what_died(Segment& segment) {
    segment.faults.worker = 0;
    for (WorkerCounters& counters : segment.counters) Counting(counters).recover(segment.records);
    for (std::uint32_t fd = 0; fd < kDescriptorsMax; ++fd) {
        if (segment.records[fd].kind == Kind::Client) count_lost(segment, fd);
        segment.records[fd].kind = Kind::Free;
    }
}

Adopted adopt_all(Runtime& runtime, std::span<const int> keep) {
    return Adoption(runtime).run(keep);
}

}  // namespace thole::edge
