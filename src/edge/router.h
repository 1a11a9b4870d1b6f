// Which service answers for a host and a path, and whether a peer is one whose forwarded fields are
// believed. Pure, and plain data: a table lies in the memory that outlives the edge, twice, and is
// swapped as a whole. Deliberately not here: methods, fields, rewriting; the path goes on as it
// came.
//
// An exact host goes before a wildcard, that before any host; among those of one host the longest
// prefix; a host whose prefixes do not match leaves it to the next. A wildcard is one label, as in
// certificates (RFC 6125 section 6.4.3). Prefixes are compared with one normal form of the path, as
// its most lenient reader has it (RFC 3986 section 6.2.2 and more): escapes of unreserved
// characters decoded, "." segments, doubled slashes and what follows a ';' in a segment left out.
// What has no such form is refused where a prefix decides, and only there.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "wire/snapshot.h"

namespace thole::edge {

constexpr std::uint32_t kRouteTextBytes =
    wire::kRoutesMax * (wire::kRouteHostMax + 2 + wire::kRoutePathMax);

constexpr std::uint32_t kNone = ~std::uint32_t{0};

// A service, and where it stands in the segment's table.
struct ServiceAt {
    std::uint32_t id = kNone;
    std::uint32_t place = kNone;
};

// Ordered by host, then the longest path first, so that the routes of a host stand together.
struct Route {
    std::uint32_t text;  // Where its host begins in the table's text; its path follows.
    std::uint16_t host_bytes;
    std::uint16_t path_bytes;
    ServiceAt to;
};

struct TrustedNetwork {
    std::uint32_t address;  // The machine's byte order.
    std::uint32_t mask;
};

// What one listener has of the table.
struct ListenerRoutes {
    std::uint32_t listener;  // Its id, 0: none.
    std::uint32_t first;
    std::uint32_t count;  // 0: `usual` answers for all.
    std::uint32_t network_first;
    std::uint32_t network_count;
    ServiceAt usual;
    // 1: a head that breaks a rule is read leniently, for one of its services may want it.
    std::uint32_t may_report;
};

struct RouteTable {
    std::uint32_t route_count;
    std::uint32_t network_count;
    std::uint32_t text_bytes;
    Route routes[wire::kRoutesMax];
    TrustedNetwork networks[wire::kNetworksMax];
    char text[kRouteTextBytes];
};

enum class Routing : std::uint8_t {
    Found,
    NoRoute,  // No service is for this host and path.
    // A prefix decides, and the path has
    EncodedSlash,
    Backslash,
    Dots,    // a segment "..", or "." with a ';',
    Escape,  // a '%' without two digits.
};

struct RoutingResult {
    Routing routing;
    ServiceAt to;  // Found; EncodedSlash: who it would be for, or nobody.
};

// For the answer: an id, "EDGE-NO-ROUTE", and a line for people. Found has none.
std::string_view reason_of(Routing routing);

RoutingResult find_among(const RouteTable& table, const ListenerRoutes& of, std::string_view host,
                         std::string_view path);

// `host` as http::RequestHead has it, with or without a port; `path` with its query. No more than
// http::kTargetBytesMax of it. Allocates nothing.
inline RoutingResult find_route(const RouteTable& table, const ListenerRoutes& of,
                                std::string_view host, std::string_view path) {
    return of.count == 0 ? RoutingResult{Routing::Found, of.usual}
                         : find_among(table, of, host, path);
}

// The address in the machine's byte order.
bool is_trusted(const RouteTable& table, const ListenerRoutes& of, std::uint32_t address);

// Adds what one listener of a snapshot has, and returns where it lies. The snapshot's reader has
// checked it: all of its listeners fit into one table. `place_of` says where a service stands.
ListenerRoutes put_routes(RouteTable& table, const wire::SnapshotListener& listener,
                          const std::function<std::uint32_t(std::uint32_t)>& place_of);

}  // namespace thole::edge
