// A table of routes, a host and a path from any bytes: lines of the input, host and path the first.
// What must hold: a path and its spelling with unreserved characters escaped go the same way, and
// so does a host however it is written; whoever answers is there.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/check.h"
#include "edge/router.h"
#include "http/grammar.h"
#include "http/head.h"

namespace {

using namespace thole;
using edge::Routing;
using edge::RoutingResult;

std::string_view take_line(std::string_view& rest) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    return line;
}

// Routes as a snapshot's reader lets them through: host, then '/' and so on.
wire::SnapshotListener listener_of(std::string_view rest) {
    wire::Snapshot snapshot;
    wire::SnapshotListener& listener = snapshot.listeners.emplace_back();
    listener.id = 1;
    while (!rest.empty() && snapshot.services.size() < 8) {
        const std::string_view line = take_line(rest);
        const std::size_t slash = std::min(line.find('/'), line.size());
        const auto id = static_cast<std::uint32_t>(snapshot.services.size());
        snapshot.services.push_back({id, "s", {}});
        listener.routes.push_back(
            {std::string(line.substr(0, slash)), std::string(line.substr(slash)), id});
        if (!wire::read_snapshot(wire::write_snapshot(snapshot)).ok()) listener.routes.pop_back();
    }
    return listener;
}

std::string escaped(std::string_view path) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    std::string out;
    for (const char c : path.substr(0, path.find('?'))) {
        const bool is_plain =
            c == '/' || c == '%' || c == ';' || !http::is_token_byte(c) ||
            (!out.empty() && (out.back() == '%' || (out.size() > 1 && out[out.size() - 2] == '%')));
        if (is_plain) {
            out += c;
            continue;
        }
        out += '%';
        out += kDigits[static_cast<unsigned char>(c) >> 4];
        out += kDigits[c & 15];
    }
    return out;
}

bool is_same(const RoutingResult& left, const RoutingResult& right) {
    return left.routing == right.routing &&
           (left.routing != Routing::Found || left.to.id == right.to.id);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    const std::string_view host = take_line(rest);
    const std::string_view path = take_line(rest);
    const wire::SnapshotListener listener = listener_of(rest);
    static const auto table = std::make_unique<edge::RouteTable>();
    table->route_count = table->network_count = table->text_bytes = 0;
    const edge::ListenerRoutes routes =
        edge::put_routes(*table, listener, [](std::uint32_t service) { return service; });
    const RoutingResult found = edge::find_route(*table, routes, host, path);
    CHECK((found.routing == Routing::Found) == edge::reason_of(found.routing).empty());
    if (found.routing == Routing::Found) {
        bool is_there = listener.routes.empty();
        for (const wire::SnapshotRoute& route : listener.routes)
            is_there = is_there || route.service == found.to.id;
        CHECK(is_there);
    }
    if (!http::is_host(host) || host.empty()) return 0;
    std::string loud(host);
    for (char& c : loud) c = 'a' <= c && c <= 'z' ? static_cast<char>(c - 32) : c;
    CHECK(is_same(found, edge::find_route(*table, routes, loud, path)));
    const bool was_malformed = found.routing == Routing::Escape;
    const std::string spelt = escaped(path);
    if (spelt.size() <= http::kTargetBytesMax && !was_malformed && path != "*")
        CHECK(is_same(found, edge::find_route(*table, routes, host, spelt)));
    return 0;
}
