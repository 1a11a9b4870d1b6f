#include "edge/soundness.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "edge/leases.h"

namespace thole::edge {
namespace {

// Of every time that is kept: neither older nor further ahead than any that can be meant.
constexpr std::int64_t kTimesMaxNs = std::int64_t{1} << 61;  // 73 years.
constexpr std::int64_t kAheadMaxNs = 7LL * 24 * 3600 * 1'000'000'000;

bool is_time(std::int64_t time_ns, std::int64_t latest_ns) {
    return time_ns >= -kTimesMaxNs && time_ns <= latest_ns;
}

bool is_place(const ServiceAt& at) { return at.place == kNone || at.place < kServicesMax; }

bool is_within(std::uint32_t first, std::uint32_t count, std::uint32_t most) {
    return first <= most && count <= most - first;
}

bool is_whole(const AllRoutes& routes) {
    const RouteTable& table = routes.table;
    if (table.route_count > wire::kRoutesMax || table.network_count > wire::kNetworksMax ||
        table.text_bytes > kRouteTextBytes)
        return false;
    for (std::uint32_t i = 0; i < table.route_count; ++i) {
        const Route& route = table.routes[i];
        const std::uint32_t bytes = std::uint32_t{route.host_bytes} + route.path_bytes;
        if (!is_within(route.text, bytes, table.text_bytes) || !is_place(route.to)) return false;
    }
    for (const ListenerRoutes& of : routes.of) {
        if (of.listener == 0) continue;
        if (!is_within(of.first, of.count, table.route_count) ||
            !is_within(of.network_first, of.network_count, table.network_count) ||
            !is_place(of.usual))
            return false;
    }
    return true;
}

bool is_whole(const LeaseEntry& lease) {
    const wire::FaultTerms& terms = lease.terms;
    const bool is_paced =
        terms.kind == wire::FaultKind::SlowBody || terms.kind == wire::FaultKind::Bandwidth;
    const bool is_abort = terms.kind == wire::FaultKind::Abort;
    return terms.kind < wire::FaultKind::Count_ && (!is_paced || terms.rate > 0) &&
           (!is_abort || (terms.status >= 200 && terms.status <= 599)) && terms.share <= 1000 &&
           is_time(lease.until_ns, kTimesMaxNs) && is_time(lease.begun_ns, kTimesMaxNs) &&
           is_time(terms.delay, kTimesMaxNs) && is_time(terms.jitter, kTimesMaxNs);
}

bool listens(int fd) {
    int value = 0;
    socklen_t size = sizeof(value);
    return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value != 0;
}

bool is_flow(const Flow& flow) {
    return flow.framing <= Framing::Frames && flow.tail <= Tail::CloseToInstance &&
           flow.body.is_sound();
}

// A value that each attempt writes into the head, behind which an empty line follows at least.
bool is_in_head(std::uint16_t at, const Exchange& exchange) {
    constexpr std::uint32_t kLongestValue = 32;
    return at == 0 || (at < kHeadBytes - kLongestValue && at < exchange.request.head_bytes);
}

}  // namespace

bool is_whole(const Segment& segment) {
    if (segment.magic != kSegmentMagic || segment.layout != kLayoutVersion) return false;
    if (segment.listener_count > kListenersMax || segment.service_count > kServicesMax ||
        segment.routes_now > 1)
        return false;
    if (!listens(segment.control_listener) || ::fcntl(segment.memory, F_GET_SEALS) < 0)
        return false;
    for (std::uint32_t i = 0; i < segment.listener_count; ++i) {
        if (segment.listeners[i].id != 0 && !listens(segment.listeners[i].fd)) return false;
    }
    for (const LeaseEntry& lease : segment.leases.entries) {
        if (lease.id != 0 && !is_whole(lease)) return false;
    }
    for (std::uint32_t i = 0; i < segment.service_count; ++i) {
        const std::uint32_t which = segment.services[i].shares.load();
        if (which > 2 || (which != 0 && segment.shares[i][which - 1].count > wire::kSharesMax))
            return false;
    }
    // The other half may just be being written; it is written as a whole before it counts.
    return is_whole(segment.routes[segment.routes_now]);
}

bool is_sound(const Record& client, const Exchange& exchange, std::int64_t now_ns) {
    if (exchange.client != client.cookie || exchange.phase > Phase::Tunnel) return false;
    if (!is_time(exchange.begun_ns, now_ns)) return false;
    const bool has_upstream = exchange.upstream != kNone;
    if (exchange.phase == Phase::Reading)
        return !has_upstream && exchange.request.head == kNone && exchange.response.head == kNone;
    if (exchange.phase == Phase::Ready || (exchange.flags & kOwnAnswer) != 0) {
        if (has_upstream) return false;
    }
    for (const std::int64_t time_ns :
         {exchange.attached_ns, exchange.due_ns, exchange.deadline_ns}) {
        if (!is_time(time_ns, now_ns + kAheadMaxNs)) return false;
    }
    for (const std::uint32_t slot : {exchange.slot, exchange.slot_before}) {
        if (slot != kNone && slot >= wire::kSlotsMax) return false;
    }
    if (exchange.attempts > 0 && exchange.slot == kNone) return false;
    if (exchange.sent_to > wire::kSlotsMax) return false;
    return is_place(exchange.service) && is_flow(exchange.request) && is_flow(exchange.response) &&
           is_in_head(exchange.timeout_at, exchange) &&
           is_in_head(exchange.grpc_timeout_at, exchange) &&
           is_in_head(exchange.attempt_at, exchange);
}

bool owns_ring(const Segment& segment, const Record& record, Span wanted) {
    if (wanted.from > wanted.to || wanted.to - wanted.from > kRingBytes) return false;
    if (record.ring == kNone) return wanted.from == wanted.to;
    if (record.ring >= kRings) return false;
    const BlockOwner& owner = segment.ring_owners[record.ring];
    return owner.cookie == record.cookie && owner.from <= wanted.from;
}

bool owns_head(const Segment& segment, const Record& client, const Flow& flow) {
    if (flow.head == kNone) return true;
    if (flow.head >= kHeads || flow.head_bytes > kHeadBytes) return false;
    const BlockOwner& owner = segment.head_owners[flow.head];
    return owner.cookie == client.cookie && owner.from == flow.head_bytes;
}

}  // namespace thole::edge
