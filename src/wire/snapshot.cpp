#include "wire/snapshot.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/bytes.h"

namespace thole::wire {
namespace {

constexpr std::uint32_t kMagic = 0x70616e73;
constexpr std::uint32_t kFormat = 5;
constexpr std::uint32_t kFormatWithRoutes = 3;  // Since then.
constexpr std::uint32_t kFormatFirst = 2;
constexpr std::uint32_t kFormatWithLimits = 4;
constexpr std::uint32_t kServicesMax = 65536;

void write_limits(ByteWriter& writer, const SnapshotLimits& limits) {
    for (const Duration limit :
         {limits.connect, limits.response_head, limits.idle, limits.tunnel, limits.hold}) {
        writer.i64(limit.count());
    }
    writer.u32(limits.held_requests_max);
    writer.u32(limits.held_bytes_max);
    writer.i64(limits.write_stall.count());
    writer.i64(limits.body_grace.count());
    writer.u64(limits.body_bytes_max);
    writer.u32(limits.body_bytes_per_second);
    writer.i64(limits.total.count());
    writer.u32(limits.in_flight_max);
    writer.u32(limits.queued_max);
}

// The formats before had no limits of this kind: those that are usual now.
constexpr SnapshotLimits kOfFormatsBefore{.connect = {},
                                          .response_head = {},
                                          .idle = {},
                                          .tunnel = {},
                                          .hold = {},
                                          .held_requests_max = 0,
                                          .held_bytes_max = 0,
                                          .write_stall = std::chrono::seconds(30),
                                          .body_grace = std::chrono::seconds(5),
                                          .body_bytes_max = 0,
                                          .body_bytes_per_second = 500,
                                          .total = {},
                                          .in_flight_max = 1024,
                                          .queued_max = 1024};

SnapshotLimits read_limits(ByteReader& reader, std::uint32_t format) {
    SnapshotLimits limits = kOfFormatsBefore;
    limits.connect = Duration(reader.i64());
    limits.response_head = Duration(reader.i64());
    limits.idle = Duration(reader.i64());
    limits.tunnel = Duration(reader.i64());
    limits.hold = Duration(reader.i64());
    limits.held_requests_max = reader.u32();
    limits.held_bytes_max = reader.u32();
    if (format < kFormatWithRoutes) return limits;
    limits.write_stall = Duration(reader.i64());
    limits.body_grace = Duration(reader.i64());
    limits.body_bytes_max = reader.u64();
    limits.body_bytes_per_second = reader.u32();
    if (format < kFormatWithLimits) return limits;
    limits.total = Duration(reader.i64());
    limits.in_flight_max = reader.u32();
    limits.queued_max = reader.u32();
    return limits;
}

void read_requests(ByteReader& reader, std::uint32_t format, SnapshotService& service) {
    service.request_flags = kAnyUpgrade;
    if (format < kFormat) return;
    service.request_flags = reader.u32();
    service.upgrades = std::string(reader.text());
}

Status check_limits(const SnapshotService& service) {
    const SnapshotLimits& limits = service.limits;
    for (const Duration time : {limits.connect, limits.response_head, limits.idle, limits.tunnel,
                                limits.hold, limits.write_stall, limits.body_grace, limits.total}) {
        if (time < Duration::zero() || time > kSnapshotTimeMax)
            return corrupt("snapshot: a time that is none");
    }
    if (limits.in_flight_max > kSnapshotRequestsMax || limits.queued_max > kSnapshotRequestsMax)
        return corrupt("snapshot: more requests at one time than there can be");
    return success();
}

SnapshotSticky read_sticky(ByteReader& reader) {
    SnapshotSticky sticky;
    sticky.by = static_cast<StickyBy>(reader.u32());
    sticky.name = std::string(reader.text());
    return sticky;
}

bool is_sticky(const SnapshotSticky& sticky) {
    if (sticky.by == StickyBy::Nothing) return sticky.name.empty();
    return (sticky.by == StickyBy::Cookie || sticky.by == StickyBy::Header) &&
           !sticky.name.empty() && sticky.name.size() <= kStickyNameMax;
}

bool has_service(const Snapshot& snapshot, std::uint32_t id) {
    return std::any_of(snapshot.services.begin(), snapshot.services.end(),
                       [id](const SnapshotService& service) { return service.id == id; });
}

bool is_network(const SnapshotNetwork& network) {
    if (network.bits > 32) return false;
    const std::uint32_t mask = network.bits == 0 ? 0 : ~std::uint32_t{0} << (32 - network.bits);
    return (network.address & ~mask) == 0;
}

// As the edge compares them: in small letters, and paths without an escape.
bool is_route(const SnapshotRoute& route) {
    constexpr std::string_view kHost = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    constexpr std::string_view kPath =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/";
    const std::string_view host = route.host;
    const bool is_wild = host.substr(0, 2) == "*.";
    return host.size() <= kRouteHostMax + 2 && route.path.size() <= kRoutePathMax &&
           host.substr(is_wild ? 2 : 0).find_first_not_of(kHost) == host.npos && host != "*." &&
           route.path.find_first_not_of(kPath) == route.path.npos &&
           (route.path.empty() || (route.path.front() == '/' && route.path.back() != '/'));
}

Status check_routes(const Snapshot& snapshot) {
    std::size_t routes = 0, networks = 0;
    for (const SnapshotListener& listener : snapshot.listeners) {
        routes += listener.routes.size();
        networks += listener.trust.size();
        if (!std::all_of(listener.trust.begin(), listener.trust.end(), is_network))
            return corrupt("snapshot: a network that is none");
        if (listener.kind == ListenerKind::Call && listener.routes.size() + listener.trust.size())
            return corrupt("snapshot: a call with routes");
        std::set<std::pair<std::string_view, std::string_view>> seen;
        for (const SnapshotRoute& route : listener.routes) {
            if (!is_route(route)) return corrupt("snapshot: a route that is none");
            if (!has_service(snapshot, route.service))
                return corrupt("snapshot: a route without a service");
            if (!seen.emplace(route.host, route.path).second)
                return corrupt("snapshot: two routes of one host and path");
        }
    }
    if (routes > kRoutesMax || networks > kNetworksMax)
        return corrupt("snapshot: too many routes or networks");
    return success();
}

bool is_upgrade_list(std::string_view text) {
    return text.size() <= kUpgradesBytesMax &&
           std::all_of(text.begin(), text.end(), [](char c) { return c > 0x1f && c < 0x7f; });
}

Status check(const Snapshot& snapshot) {
    for (const SnapshotService& service : snapshot.services) {
        if (!is_upgrade_list(service.upgrades))
            return corrupt("snapshot: a list of upgrades that is none");
    }
    for (std::size_t i = 0; i < snapshot.services.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (snapshot.services[i].id == snapshot.services[j].id)
                return corrupt("snapshot: two services of one id");
        }
        TRY(check_limits(snapshot.services[i]));
        if (!is_sticky(snapshot.services[i].sticky))
            return corrupt("snapshot: a sticky key that is none");
    }
    for (std::size_t i = 0; i < snapshot.listeners.size(); ++i) {
        const SnapshotListener& listener = snapshot.listeners[i];
        const bool known_kind =
            listener.kind == ListenerKind::Public || listener.kind == ListenerKind::Call;
        if (!known_kind || !has_service(snapshot, listener.service)) {
            return corrupt("snapshot: a listener without a service");
        }
        if (listener.kind == ListenerKind::Call && !has_service(snapshot, listener.caller)) {
            return corrupt("snapshot: a call without a caller");
        }
        for (std::size_t j = 0; j < i; ++j) {
            if (listener.id == snapshot.listeners[j].id)
                return corrupt("snapshot: two listeners of one id");
        }
    }
    return check_routes(snapshot);
}

void write_routes(ByteWriter& writer, const SnapshotListener& listener) {
    writer.u32(static_cast<std::uint32_t>(listener.trust.size()));
    for (const SnapshotNetwork& network : listener.trust) {
        writer.u32(network.address);
        writer.u32(network.bits);
    }
    writer.u32(static_cast<std::uint32_t>(listener.routes.size()));
    for (const SnapshotRoute& route : listener.routes) {
        writer.text(route.host);
        writer.text(route.path);
        writer.u32(route.service);
    }
}

void read_routes(ByteReader& reader, SnapshotListener& listener) {
    const std::uint32_t networks = reader.u32();
    for (std::uint32_t i = 0; i < networks && reader.ok(); ++i) {
        SnapshotNetwork network;
        network.address = reader.u32();
        network.bits = reader.u32();
        listener.trust.push_back(network);
    }
    const std::uint32_t routes = reader.u32();
    for (std::uint32_t i = 0; i < routes && reader.ok(); ++i) {
        SnapshotRoute route;
        route.host = std::string(reader.text());
        route.path = std::string(reader.text());
        route.service = reader.u32();
        listener.routes.push_back(std::move(route));
    }
}

std::vector<SnapshotListener> read_listeners(ByteReader& reader, std::uint32_t count,
                                             std::uint32_t format) {
    std::vector<SnapshotListener> listeners;
    for (std::uint32_t i = 0; i < count && reader.ok(); ++i) {
        SnapshotListener listener;
        listener.id = reader.u32();
        listener.kind = static_cast<ListenerKind>(reader.u32());
        listener.service = reader.u32();
        listener.caller = reader.u32();
        listener.caller_uid = reader.u32();
        listener.caller_uid_too = reader.u32();
        listener.check_caller = reader.u32();
        if (format >= kFormatWithRoutes) read_routes(reader, listener);
        listeners.push_back(std::move(listener));
    }
    return listeners;
}

}  // namespace

std::string write_snapshot(const Snapshot& snapshot) {
    ByteWriter writer;
    writer.u32(kMagic);
    writer.u32(kFormat);
    writer.u64(snapshot.version);
    writer.u32(static_cast<std::uint32_t>(snapshot.services.size()));
    for (const SnapshotService& service : snapshot.services) {
        writer.u32(service.id);
        writer.text(service.name);
        write_limits(writer, service.limits);
        writer.u32(static_cast<std::uint32_t>(service.sticky.by));
        writer.text(service.sticky.name);
        writer.u32(service.request_flags);
        writer.text(service.upgrades);
    }
    writer.u32(static_cast<std::uint32_t>(snapshot.listeners.size()));
    for (const SnapshotListener& listener : snapshot.listeners) {
        writer.u32(listener.id);
        writer.u32(static_cast<std::uint32_t>(listener.kind));
        writer.u32(listener.service);
        writer.u32(listener.caller);
        writer.u32(listener.caller_uid);
        writer.u32(listener.caller_uid_too);
        writer.u32(listener.check_caller);
        write_routes(writer, listener);
    }
    writer.u32(crc32c(writer.bytes()));
    return writer.take();
}

Result<Snapshot> read_snapshot(std::string_view bytes) {
    if (bytes.size() < 4) return corrupt("snapshot: too short");
    const std::string_view content = bytes.substr(0, bytes.size() - 4);
    ByteReader last(bytes.substr(content.size()));
    if (last.u32() != crc32c(content)) return corrupt("snapshot: wrong checksum");
    ByteReader reader(content);
    Snapshot snapshot;
    if (reader.u32() != kMagic) return corrupt("snapshot: not a snapshot");
    const std::uint32_t format = reader.u32();
    if (format < kFormatFirst || format > kFormat) return corrupt("snapshot: of another format");
    snapshot.version = reader.u64();
    const std::uint32_t services = reader.u32();
    if (services > kServicesMax) return corrupt("snapshot: too many services");
    for (std::uint32_t i = 0; i < services && reader.ok(); ++i) {
        SnapshotService service;
        service.id = reader.u32();
        service.name = std::string(reader.text());
        service.limits = read_limits(reader, format);
        if (format >= kFormat) service.sticky = read_sticky(reader);
        read_requests(reader, format, service);
        snapshot.services.push_back(std::move(service));
    }
    const std::uint32_t listeners = reader.u32();
    if (listeners > kServicesMax) return corrupt("snapshot: too many listeners");
    snapshot.listeners = read_listeners(reader, listeners, format);
    if (!reader.at_end()) return corrupt("snapshot: cut short or too long");
    TRY(check(snapshot));
    return snapshot;
}

}  // namespace thole::wire
