#include "edge/router.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "http/grammar.h"
#include "http/head.h"

namespace thole::edge {
namespace {

std::string_view host_of(const RouteTable& table, const Route& route) {
    return {table.text + route.text, route.host_bytes};
}

std::string_view path_of(const RouteTable& table, const Route& route) {
    return {table.text + route.text + route.host_bytes, route.path_bytes};
}

// Small letters, without port and last dot; empty where it is longer than any route's.
class HostName {
public:
    explicit HostName(std::string_view host) {
        const bool is_address = !host.empty() && host.front() == '[';
        host = host.substr(0, is_address ? host.find(']') : host.find(':'));
        if (!host.empty() && host.back() == '.') host.remove_suffix(1);
        if (host.size() > sizeof(text_)) return;
        size_ = host.size();
        std::transform(host.begin(), host.end(), text_, http::to_lower);
    }
    std::string_view exact() const { return {text_, size_}; }
    // "*.example.com" of "shop.example.com", or nothing; afterwards the other one is gone.
    std::string_view take_wildcard() {
        const std::size_t dot = exact().find('.');
        if (dot == std::string_view::npos || dot == 0) return {};
        text_[dot - 1] = '*';
        return exact().substr(dot - 1);
    }

private:
    char text_[wire::kRouteHostMax];
    std::size_t size_ = 0;
};

// One path as prefixes are compared with it.
class NormalPath {
public:
    // Found, or why it has none.
    Routing read(std::string_view path) {
        path = path.substr(0, std::min(path.find('?'), http::kTargetBytesMax));
        for (std::size_t at = 0; at < path.size();) {
            char c = path[at];
            std::size_t bytes = 1;
            if (c == '%') {
                const int high = at + 2 < path.size() ? http::hex_digit(path[at + 1]) : -1;
                const int low = at + 2 < path.size() ? http::hex_digit(path[at + 2]) : -1;
                if (high < 0 || low < 0) return Routing::Escape;
                c = static_cast<char>(high * 16 + low);
                bytes = 3;
                if (c == '/') has_slash_ = true;
            }
            if (c == '/') end_piece();
            if (c == '\\') return Routing::Backslash;
            if (c == '/' && bytes == 1) {
                if (!end_segment()) return Routing::Dots;
                if (size_ == 0 || text_[size_ - 1] != '/') text_[size_++] = '/';
            } else {
                put(c, path.substr(at, bytes));
            }
            at += bytes;
        }
        end_piece();
        if (!end_segment()) return Routing::Dots;
        if (size_ == 0) text_[size_++] = '/';
        return Routing::Found;
    }
    // An encoded slash: in the form it stands as it came, and is no border of segments.
    bool has_slash() const { return has_slash_; }
    // Between slashes of either kind: whoever decodes it is led elsewhere.
    bool has_dots() const { return has_dots_; }
    bool is_below(std::string_view prefix) const {
        const std::string_view path(text_, size_);
        return path.substr(0, prefix.size()) == prefix &&
               (path.size() == prefix.size() || path[prefix.size()] == '/' || prefix.empty());
    }

private:
    static bool is_unreserved(char c) {
        const char lower = http::to_lower(c);
        return http::is_digit(c) || ('a' <= lower && lower <= 'z') || c == '-' || c == '.' ||
               c == '_' || c == '~';
    }

    void put(char c, std::string_view written) {
        if (c == ';') has_parameters_ = piece_has_parameters_ = true;
        if (!piece_has_parameters_ && c != '/') {
            ++piece_size_;
            if (c == '.') ++piece_dots_;
        }
        if (has_parameters_) return;
        ++segment_size_;
        if (c == '.') ++segment_dots_;
        if (is_unreserved(c)) written = {&c, 1};
        std::memcpy(text_ + size_, written.data(), written.size());
        size_ += written.size();
    }

    void end_piece() {
        if (piece_size_ == piece_dots_ && piece_dots_ > 0 && piece_dots_ <= 2) has_dots_ = true;
        piece_size_ = piece_dots_ = 0;
        piece_has_parameters_ = false;
    }

    // False where it leads elsewhere, or is read as if it did.
    bool end_segment() {
        if (segment_size_ == segment_dots_ && segment_dots_ > 0 && segment_dots_ <= 2) {
            if (segment_dots_ == 2 || has_parameters_) return false;
            --size_;
        }
        segment_size_ = segment_dots_ = 0;
        has_parameters_ = false;
        return true;
    }

    char text_[http::kTargetBytesMax + 1];
    std::size_t size_ = 0;
    std::size_t segment_size_ = 0;  // Without parameters.
    std::size_t segment_dots_ = 0;
    bool has_parameters_ = false;
    std::size_t piece_size_ = 0;  // The same, since the last slash of either kind.
    std::size_t piece_dots_ = 0;
    bool piece_has_parameters_ = false;
    bool has_slash_ = false;
    bool has_dots_ = false;
};

}  // namespace

std::string_view reason_of(Routing routing) {
    switch (routing) {
        case Routing::Found: return {};
        case Routing::NoRoute: return "EDGE-NO-ROUTE: nobody answers for this host and path";
        case Routing::EncodedSlash: return "EDGE-PATH-SLASH: an encoded slash in the path";
        case Routing::Backslash: return "EDGE-PATH-BACKSLASH: a backslash in the path";
        case Routing::Dots: return "EDGE-PATH-DOTS: a dot segment that leads elsewhere in the path";
        case Routing::Escape: return "EDGE-PATH-ESCAPE: a '%' without two digits in the path";
    }
    CHECK(false);
}

RoutingResult find_among(const RouteTable& table, const ListenerRoutes& of, std::string_view host,
                         std::string_view path) {
    const Route* const begin = table.routes + of.first;
    const Route* const end = begin + of.count;
    NormalPath normal;
    bool is_read = false;
    Routing refused = Routing::Found;
    const auto answers = [&](const Route& route) {
        if (route.path_bytes == 0) return true;
        return normal.is_below(path_of(table, route));
    };
    // Where a prefix is longer than all of them it stands first: one look says whether any decides.
    const auto find = [&](std::string_view wanted) -> const Route* {
        const auto is_before = [&](const Route& route, std::string_view name) {
            return host_of(table, route) < name;
        };
        const Route* route = std::lower_bound(begin, end, wanted, is_before);
        if (route == end || host_of(table, *route) != wanted) return nullptr;
        if (route->path_bytes > 0 && !is_read) {
            is_read = true;
            refused = normal.read(path);
        }
        if (refused != Routing::Found) return nullptr;
        for (; route != end && host_of(table, *route) == wanted; ++route) {
            if (answers(*route)) return route;
        }
        return nullptr;
    };
    HostName name(host);
    const Route* found = name.exact().empty() ? nullptr : find(name.exact());
    if (found == nullptr && refused == Routing::Found) {
        const std::string_view wildcard = name.take_wildcard();
        if (!wildcard.empty()) found = find(wildcard);
    }
    if (found == nullptr && refused == Routing::Found) found = find({});
    if (is_read && refused == Routing::Found && normal.has_slash())
        return {Routing::EncodedSlash,
                found == nullptr || normal.has_dots() ? ServiceAt{} : found->to};
    if (found != nullptr) return {Routing::Found, found->to};
    return {refused != Routing::Found ? refused : Routing::NoRoute, {}};
}

bool is_trusted(const RouteTable& table, const ListenerRoutes& of, std::uint32_t address) {
    const TrustedNetwork* const begin = table.networks + of.network_first;
    return std::any_of(begin, begin + of.network_count, [&](const TrustedNetwork& network) {
        return (address & network.mask) == network.address;
    });
}

ListenerRoutes put_routes(RouteTable& table, const wire::SnapshotListener& listener,
                          const std::function<std::uint32_t(std::uint32_t)>& place_of) {
    const ListenerRoutes put{listener.id,
                             table.route_count,
                             static_cast<std::uint32_t>(listener.routes.size()),
                             table.network_count,
                             static_cast<std::uint32_t>(listener.trust.size()),
                             {listener.service, place_of(listener.service)},
                             0};
    CHECK(put.first + put.count <= wire::kRoutesMax &&
          put.network_first + put.network_count <= wire::kNetworksMax);
    for (const wire::SnapshotRoute& route : listener.routes) {
        const std::string text = route.host + route.path;
        CHECK(text.size() <= kRouteTextBytes - table.text_bytes);
        std::memcpy(table.text + table.text_bytes, text.data(), text.size());
        table.routes[table.route_count++] = {table.text_bytes,
                                             static_cast<std::uint16_t>(route.host.size()),
                                             static_cast<std::uint16_t>(route.path.size()),
                                             {route.service, place_of(route.service)}};
        table.text_bytes += static_cast<std::uint32_t>(text.size());
    }
    const auto is_before = [&](const Route& left, const Route& right) {
        const int order = host_of(table, left).compare(host_of(table, right));
        return order != 0 ? order < 0 : left.path_bytes > right.path_bytes;
    };
    std::sort(table.routes + put.first, table.routes + table.route_count, is_before);
    for (const wire::SnapshotNetwork& network : listener.trust) {
        const std::uint32_t mask = network.bits == 0 ? 0 : ~std::uint32_t{0} << (32 - network.bits);
        table.networks[table.network_count++] = {network.address, mask};
    }
    return put;
}

}  // namespace thole::edge
