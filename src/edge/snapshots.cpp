#include "edge/snapshots.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "edge/disk_thread.h"
#include "edge/keeper_link.h"
#include "os/fault_point.h"
#include "os/linux_files.h"

namespace thole::edge {
namespace {

using Listeners = std::map<std::uint32_t, os::FileDescriptor>;  // By id.

ListenerEntry* find_listener(Segment& segment, std::uint32_t id) {
    ListenerEntry* const end = segment.listeners + segment.listener_count;
    ListenerEntry* const place = std::find_if(
        segment.listeners, end, [id](const ListenerEntry& entry) { return entry.id == id; });
    return place == end ? nullptr : place;
}

ServiceEntry* find_service(Segment& segment, std::uint32_t id) {
    ServiceEntry* const end = segment.services + segment.service_count;
    ServiceEntry* const place = std::find_if(
        segment.services, end,
        [id](const ServiceEntry& entry) { return entry.is_used != 0 && entry.id == id; });
    return place == end ? nullptr : place;
}

enum class Missing : std::uint8_t { Refused, LeftOut };

// With the listeners that are not here yet, from keeper.
Result<NextSnapshot> complete(Segment& segment, const EdgeFolders& folders,
                              wire::Snapshot&& content, Missing missing) {
    NextSnapshot next;
    // Half of the places, so that each dropped one may still be there.
    if (content.listeners.size() > kListenersMax / 2 || content.services.size() > kServicesMax)
        return overload("the snapshot has too many listeners or services");
    std::optional<KeeperLink> keeper;
    for (const wire::SnapshotListener& wanted : content.listeners) {
        const bool is_here = find_listener(segment, wanted.id) != nullptr;
        if (!is_here) {
            if (!keeper) keeper.emplace(TRY(KeeperLink::connect(folders.run)));
            Result<os::FileDescriptor> taken = keeper->take_listener(wanted.id);
            const bool is_gone = !taken.ok() && taken.error().code == Code::NotFound;
            if (is_gone && missing == Missing::LeftOut) continue;
            next.listeners.emplace(wanted.id, TRY(std::move(taken)));
        }
        next.content.listeners.push_back(wanted);
    }
    next.content.services = std::move(content.services);
    return next;
}

// Limits first, then that it is in use: a worker may be reading.
void put_service(Segment& segment, const wire::SnapshotService& service,
                 const std::set<std::uint32_t>& held) {
    ServiceEntry* place = find_service(segment, service.id);
    if (place == nullptr) {
        place = std::find_if(segment.services, segment.services + segment.service_count,
                             [](const ServiceEntry& entry) { return entry.is_used == 0; });
        place->holds = held.contains(service.id) ? 1 : 0;
        place->shares = 0;
        place->id = service.id;
    }
    const wire::SnapshotLimits& limits = service.limits;
    place->connect_ns = limits.connect.count();
    place->response_head_ns = limits.response_head.count();
    place->idle_ns = limits.idle.count();
    place->tunnel_ns = limits.tunnel.count();
    place->hold_ns = limits.hold.count();
    place->held_requests_max = limits.held_requests_max;
    place->held_bytes_max = limits.held_bytes_max;
    place->write_stall_ns = limits.write_stall.count();
    place->body_grace_ns = limits.body_grace.count();
    place->body_bytes_max = limits.body_bytes_max;
    place->body_bytes_per_second = limits.body_bytes_per_second;
    place->total_ns = limits.total.count();
    place->in_flight_max = limits.in_flight_max;
    place->queued_max = limits.queued_max;
    place->is_used = 1;
    const auto count = static_cast<std::uint32_t>(place - segment.services) + 1;
    segment.service_count = std::max(segment.service_count.load(), count);
}

void put_listener(Segment& segment, const wire::SnapshotListener& wanted, Listeners& taken) {
    ListenerEntry* place = find_listener(segment, wanted.id);
    const bool is_new = place == nullptr;
    if (is_new) {
        place =
            std::find_if(segment.listeners, segment.listeners + segment.listener_count,
                         [](const ListenerEntry& entry) { return entry.id == 0 && entry.fd < 0; });
        place->fd = taken.at(wanted.id).release();
    }
    place->kind = static_cast<std::uint32_t>(wanted.kind);
    place->checks_caller = wanted.check_caller;
    place->caller_uid = wanted.caller_uid;
    place->caller_uid_too = wanted.caller_uid_too;
    place->caller = wanted.caller;
    place->id = wanted.id;
    const auto count = static_cast<std::uint32_t>(place - segment.listeners) + 1;
    segment.listener_count = std::max(segment.listener_count.load(), count);
}

void drop_listeners(Segment& segment, const wire::Snapshot& snapshot) {
    for (std::uint32_t i = 0; i < segment.listener_count; ++i) {
        ListenerEntry& entry = segment.listeners[i];
        const auto same = [&](const wire::SnapshotListener& it) { return it.id == entry.id; };
        if (std::none_of(snapshot.listeners.begin(), snapshot.listeners.end(), same)) entry.id = 0;
    }
}

void drop_services(Segment& segment, const wire::Snapshot& snapshot) {
    for (std::uint32_t i = 0; i < segment.service_count; ++i) {
        ServiceEntry& entry = segment.services[i];
        const auto same = [&](const wire::SnapshotService& it) { return it.id == entry.id; };
        if (std::none_of(snapshot.services.begin(), snapshot.services.end(), same))
            entry.is_used = 0;
    }
}

// Whether one of those who answer there wants to be told of broken rules.
bool reports_any(const wire::Snapshot& snapshot, const wire::SnapshotListener& listener) {
    const auto answers = [&](std::uint32_t service) {
        const auto is_its = [&](const wire::SnapshotRoute& route) {
            return route.service == service;
        };
        return listener.routes.empty()
                   ? listener.service == service
                   : std::any_of(listener.routes.begin(), listener.routes.end(), is_its);
    };
    return std::any_of(snapshot.services.begin(), snapshot.services.end(),
                       [&](const wire::SnapshotService& service) {
                           return (service.request_flags & wire::kReportsRules) != 0 &&
                                  answers(service.id);
                       });
}

// Into the half by which nobody goes: every worker has applied the snapshot before this one.
void put_all_routes(Segment& segment, const wire::Snapshot& snapshot) {
    const std::uint32_t next = 1 - segment.routes_now;
    AllRoutes& routes = segment.routes[next];
    routes.table.route_count = routes.table.network_count = routes.table.text_bytes = 0;
    FAULT_POINT("routes, nobody's");
    for (ListenerRoutes& of : routes.of) of.listener = 0;
    for (const wire::SnapshotService& service : snapshot.services)
        routes.sticky[find_service(segment, service.id) - segment.services] =
            sticky_key_of(service.sticky);
    for (const wire::SnapshotListener& listener : snapshot.listeners) {
        const auto place =
            static_cast<std::size_t>(find_listener(segment, listener.id) - segment.listeners);
        routes.of[place] = put_routes(routes.table, listener, [&](std::uint32_t service) {
            return static_cast<std::uint32_t>(find_service(segment, service) - segment.services);
        });
        routes.of[place].may_report = reports_any(snapshot, listener) ? 1 : 0;
    }
    for (const wire::SnapshotService& service : snapshot.services)
        routes.policies[find_service(segment, service.id) - segment.services] = policy_of(service);
    segment.routes_now.store(next, std::memory_order_release);
}

bool has_room_beside(const Segment& segment, const wire::Snapshot& snapshot) {
    return segment.service_count + snapshot.services.size() <= kServicesMax;
}

}  // namespace

Result<NextSnapshot> prepare_snapshot(Segment& segment, const EdgeFolders& folders,
                                      std::uint64_t version, std::string_view bytes) {
    wire::Snapshot content = TRY(wire::read_snapshot(bytes));
    NextSnapshot next = TRY(complete(segment, folders, std::move(content), Missing::Refused));
    next.version = version;
    return next;
}

void put_snapshot(Segment& segment, NextSnapshot& next, const std::set<std::uint32_t>& held) {
    drop_listeners(segment, next.content);
    // Services stay for requests that workers still send by the routes before, where there is room.
    if (!has_room_beside(segment, next.content)) drop_services(segment, next.content);
    for (const wire::SnapshotService& service : next.content.services)
        put_service(segment, service, held);
    for (const wire::SnapshotListener& wanted : next.content.listeners)
        put_listener(segment, wanted, next.listeners);
    put_all_routes(segment, next.content);
    segment.snapshot_version = next.version;
}

void drop_what_is_left(Segment& segment, const NextSnapshot& applied) {
    drop_services(segment, applied.content);
    for (std::uint32_t i = 0; i < segment.listener_count; ++i) {
        ListenerEntry& entry = segment.listeners[i];
        if (entry.id != 0 || entry.fd < 0) continue;
        const int fd = entry.fd;
        entry.fd = -1;
        ::close(fd);
    }
}

Result<NextSnapshot> read_last_snapshot(Segment& segment, const EdgeFolders& folders) {
    os::LinuxFiles files;
    const std::string text = TRY(files.read(folders.data + "/edge/current", 32));
    std::uint64_t version = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return corrupt("edge/current is no number");
        version = version * 10 + static_cast<std::uint64_t>(c - '0');
    }
    const std::string bytes = TRY(
        files.read(fmt::format("{}/edge/snapshot.{}", folders.data, version), kSnapshotBytesMax));
    wire::Snapshot content = TRY(wire::read_snapshot(bytes));
    const std::size_t wanted = content.listeners.size();
    NextSnapshot last = TRY(complete(segment, folders, std::move(content), Missing::LeftOut));
    // One that is not whole has no version: control activates another as soon as it is there.
    last.version = last.content.listeners.size() == wanted ? version : 0;
    return last;
}

}  // namespace thole::edge
