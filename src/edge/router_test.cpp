// Which service answers: hosts, prefixes on the borders of segments, and paths that are meant to be
// read in two ways.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "edge/router.h"

namespace thole::edge {
namespace {

// Services are named by their ids; -1 where the router refuses.
class Router : public testing::Test {
protected:
    void have(std::vector<wire::SnapshotRoute> routes,
              std::vector<wire::SnapshotNetwork> trust = {}) {
        wire::SnapshotListener listener;
        listener.id = 7;
        listener.service = 99;
        listener.routes = std::move(routes);
        listener.trust = std::move(trust);
        routes_ =
            put_routes(*table_, listener, [](std::uint32_t service) { return service + 500; });
    }
    RoutingResult route(std::string_view host, std::string_view path) {
        return find_route(*table_, routes_, host, path);
    }
    int service(std::string_view host, std::string_view path) {
        const RoutingResult result = route(host, path);
        if (result.routing != Routing::Found) return -1;
        EXPECT_EQ(result.to.place, result.to.id + 500);
        return static_cast<int>(result.to.id);
    }

    std::unique_ptr<RouteTable> table_ = std::make_unique<RouteTable>();
    ListenerRoutes routes_{};
};

TEST_F(Router, WithoutRoutesTheServiceAnswersWhateverIsAsked) {
    have({});
    EXPECT_EQ(service("shop.example", "/a"), 99);
    EXPECT_EQ(service("", "*"), 99);
    EXPECT_EQ(service("x", "/..%2f\\%zz"), 99);
}

TEST_F(Router, AnExactHostGoesBeforeAWildcardAndThatBeforeAny) {
    have({{"", "", 3}, {"*.shop.example", "", 2}, {"www.shop.example", "", 1}, {"b", "", 4}});
    EXPECT_EQ(service("www.shop.example", "/"), 1);
    EXPECT_EQ(service("WWW.Shop.EXAMPLE", "/"), 1);
    EXPECT_EQ(service("www.shop.example:8080", "/"), 1);
    EXPECT_EQ(service("www.shop.example.", "/"), 1);
    EXPECT_EQ(service("www.shop.example.:80", "/"), 1);
    EXPECT_EQ(service("img.shop.example", "/"), 2);
    // One label, and not none.
    EXPECT_EQ(service("a.img.shop.example", "/"), 3);
    EXPECT_EQ(service("shop.example", "/"), 3);
    EXPECT_EQ(service(".shop.example", "/"), 3);
    EXPECT_EQ(service("xshop.example", "/"), 3);
    EXPECT_EQ(service("*.shop.example", "/"), 2);
    EXPECT_EQ(service("", "/"), 3);
    EXPECT_EQ(service("[::1]:80", "/"), 3);
    EXPECT_EQ(service(std::string(254, 'a'), "/"), 3);
    EXPECT_EQ(service(std::string(9000, 'a') + ".shop.example", "/"), 3);
    EXPECT_EQ(service("b", "/"), 4);
}

// Another service's page under a name that nobody has claimed would be worse than none.
TEST_F(Router, WhatNobodyIsForNobodyAnswers) {
    have({{"shop.example", "", 1}, {"*.shop.example", "/api", 2}});
    EXPECT_EQ(route("evil.example", "/").routing, Routing::NoRoute);
    EXPECT_EQ(route("", "/").routing, Routing::NoRoute);
    EXPECT_EQ(route("a.shop.example", "/").routing, Routing::NoRoute);
    EXPECT_EQ(route("a.shop.example", "*").routing, Routing::NoRoute);
    EXPECT_EQ(service("shop.example", "*"), 1);
    EXPECT_EQ(reason_of(Routing::NoRoute).substr(0, 14), "EDGE-NO-ROUTE:");
}

TEST_F(Router, TheLongestPrefixAnswersOnTheBordersOfSegments) {
    have({{"", "/api", 1}, {"", "/api/v1", 2}, {"", "", 3}, {"", "/API", 4}});
    EXPECT_EQ(service("a", "/api"), 1);
    EXPECT_EQ(service("a", "/api/"), 1);
    EXPECT_EQ(service("a", "/api/x"), 1);
    EXPECT_EQ(service("a", "/api?v1"), 1);
    EXPECT_EQ(service("a", "/api/v1"), 2);
    EXPECT_EQ(service("a", "/api/v1?/../"), 2);
    EXPECT_EQ(service("a", "/api/v12"), 1);
    EXPECT_EQ(service("a", "/apix"), 3);
    EXPECT_EQ(service("a", "/ap"), 3);
    EXPECT_EQ(service("a", "/"), 3);
    EXPECT_EQ(service("a", "/API/x"), 4);
    for (const char* path : {"", "?a=/api", "*", "/?/api"})
        EXPECT_EQ(service("a", path), 3) << path;
}

TEST_F(Router, AHostWhosePrefixesDoNotMatchLeavesItToTheNext) {
    have({{"shop.example", "/api", 1}, {"*.example", "/img", 2}, {"", "", 3}});
    EXPECT_EQ(service("shop.example", "/api/1"), 1);
    EXPECT_EQ(service("shop.example", "/img/1"), 2);
    EXPECT_EQ(service("shop.example", "/"), 3);
}

// However it is spelt, it must not pass by the service that guards it.
TEST_F(Router, OnePathHasOneForm) {
    have({{"", "/admin", 1}, {"", "", 2}});
    for (const char* path :
         {"/%61dmin", "/%61%64%6D%69%6e/x", "/./admin", "/.//./admin/", "//admin", "/admin/.",
          "/admin;a=b", "/admin;/x", "/;x/admin", "/%2e/admin", "/admin%3bx", "/admin//",
          "/admin/..x", "/admin/...", "/admin/a.."})
        EXPECT_EQ(service("a", path), 1) << path;
    for (const char* path : {"/admin%20", "/%2561dmin", "/a%64", "/admin.", "/.admin", "/admin%7",
                             "/x;/admin", "/Admin"})
        EXPECT_NE(service("a", path), 1) << path;
}

TEST_F(Router, RefusesAPathWithSeveralReadingsWhereAPrefixDecides) {
    have({{"", "/admin", 1}, {"", "", 2}, {"files.example", "", 3}});
    const auto why = [&](std::string_view path) { return route("a", path).routing; };
    for (const char* path : {"/x%2fadmin", "/admin%2F..", "/%2f"})
        EXPECT_EQ(why(path), Routing::EncodedSlash) << path;
    for (const char* path : {"/x\\admin", "/x%5cadmin", "/%5C"})
        EXPECT_EQ(why(path), Routing::Backslash) << path;
    for (const char* path :
         {"/..", "/../admin", "/x/../admin", "/x/..", "/x/%2e%2e/admin", "/x/.%2E/admin",
          "/x/..;/admin", "/x/..;a=b/admin", "/x/..%3b/admin", "/.;/admin", "/%2e;x/admin", ".."})
        EXPECT_EQ(why(path), Routing::Dots) << path;
    for (const char* path : {"/%", "/%a", "/%zz", "/%u002e", "/x%2"})
        EXPECT_EQ(why(path), Routing::Escape) << path;
    // In the query it is no path; and a host without prefixes has what it is sent.
    EXPECT_EQ(service("a", "/x?y=%2f..\\%zz/../"), 2);
    EXPECT_EQ(service("files.example", "/@scope%2fname/../x"), 3);
}

// For a service that keeps them: it is found by the path as it came, and no dots lead out of it.
TEST_F(Router, SaysWhoAPathWithAnEncodedSlashWouldBeFor) {
    have({{"", "/files", 1}, {"", "", 2}, {"only.example", "/a", 3}});
    const auto whose = [&](std::string_view host, std::string_view path) {
        const RoutingResult result = route(host, path);
        EXPECT_EQ(result.routing, Routing::EncodedSlash) << path;
        return result.to.id;
    };
    EXPECT_EQ(whose("a", "/files/a%2Fb"), 1U);
    EXPECT_EQ(whose("a", "/files/a%2f%2fb/"), 1U);
    EXPECT_EQ(whose("a", "/other/a%2fb"), 2U);
    // It is no border of segments: else the path would be for another one by another reading.
    EXPECT_EQ(whose("a", "/files%2fa"), 2U);
    EXPECT_EQ(whose("a", "/%2ffiles"), 2U);
    for (const char* path : {"/files/..%2fb", "/files/a%2f..", "/files/a%2f%2e%2e%2fb",
                             "/files/a%2f..;x", "/files/a%2f.%2fb", "/files/%2f..",
                             "/files/a;x%2f..%2fb", "/files/a;%2f..", "/files/a;x%2f..;y%2fb"})
        EXPECT_EQ(whose("a", path), kNone) << path;
    EXPECT_EQ(whose("only.example", "/b%2fc"), 2U);
    EXPECT_EQ(route("a", "/files/../a%2fb").routing, Routing::Dots);
    EXPECT_EQ(route("a", "/files/a%2fb\\").routing, Routing::Backslash);
}

TEST_F(Router, ALongPathIsReadWhole) {
    have({{"", "/" + std::string(254, 'a'), 1}, {"", "", 2}});
    EXPECT_EQ(service("a", "/" + std::string(254, 'a')), 1);
    EXPECT_EQ(service("a", "/" + std::string(254, 'a') + "/x"), 1);
    EXPECT_EQ(service("a", "/" + std::string(255, 'a')), 2);
    EXPECT_EQ(service("a", "/" + std::string(8191, 'b')), 2);
    EXPECT_EQ(route("a", "/" + std::string(8100, 'b') + "/../x").routing, Routing::Dots);
}

TEST_F(Router, ListenersHaveTheirOwnPartOfTheTable) {
    have({{"a", "", 1}}, {{0x7f000001, 32}});
    const ListenerRoutes first = routes_;
    have({{"b", "", 2}}, {{0x0a000000, 8}});
    EXPECT_EQ(service("a", "/"), -1);
    EXPECT_EQ(service("b", "/"), 2);
    EXPECT_TRUE(is_trusted(*table_, first, 0x7f000001));
    EXPECT_FALSE(is_trusted(*table_, first, 0x0a000001));
    EXPECT_TRUE(is_trusted(*table_, routes_, 0x0affffff));
    EXPECT_FALSE(is_trusted(*table_, routes_, 0x0b000000));
    EXPECT_EQ(first.listener, 7U);
}

TEST_F(Router, TrustMayBeEverybodyOrNobody) {
    have({});
    EXPECT_FALSE(is_trusted(*table_, routes_, 0x7f000001));
    have({}, {{0, 0}});
    EXPECT_TRUE(is_trusted(*table_, routes_, 0x01020304));
}

// All that a snapshot may have goes into a table.
TEST_F(Router, TheLargestTableFits) {
    std::vector<wire::SnapshotRoute> routes;
    for (std::uint32_t i = 0; i < wire::kRoutesMax; ++i) {
        std::string host = std::to_string(i);
        host = "*." + std::string(wire::kRouteHostMax - host.size(), 'a') + host;
        routes.push_back({host, "/" + std::string(wire::kRoutePathMax - 1, 'p'), i});
    }
    have(routes, std::vector<wire::SnapshotNetwork>(wire::kNetworksMax));
    EXPECT_EQ(table_->text_bytes, kRouteTextBytes);
    EXPECT_EQ(service("x" + routes[1000].host.substr(1), "/" + std::string(254, 'p')), -1);
    EXPECT_EQ(table_->routes[0].host_bytes, wire::kRouteHostMax + 2);
}

}  // namespace
}  // namespace thole::edge
