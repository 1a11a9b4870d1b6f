// Who shares a public port, which ports are wanted, and how much of it there may be.
#include "control/ports.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace thole::control {
namespace {

using Numbers = std::vector<std::uint32_t>;

class Ports : public testing::Test {
protected:
    Service& have(model::PublicSpec at_public) {
        Service& service = have_private();
        service.spec.at_public = std::move(at_public);
        return service;
    }
    Service& have_private() {
        const auto id = static_cast<std::uint32_t>(world_.services.size() + 1);
        Service& service = world_.services[id];
        service.row.id = id;
        service.row.name = service.spec.name = fmt::format("s{}", id);
        return service;
    }
    Numbers beside(std::uint32_t service) { return PublicPorts(world_).beside(service); }
    // The services as a manifest has them.
    model::Manifest manifest() const {
        model::Manifest manifest;
        for (const auto& [id, service] : world_.services) manifest.services.push_back(service.spec);
        return manifest;
    }

    World world_;
};

TEST_F(Ports, AreSharedByWhoDiffersInHostOrPath) {
    have({.port = 80, .hosts = {"a.test"}});
    have({.port = 80, .hosts = {"a.test"}, .path = "/api"});
    have({.port = 80, .hosts = {"b.test", "c.test"}});
    have({.port = 81, .hosts = {"a.test"}});
    have_private();
    EXPECT_EQ(beside(2), (Numbers{1, 2, 3}));
    EXPECT_EQ(beside(4), Numbers{4});
    EXPECT_EQ(beside(5), Numbers{5});
}

TEST_F(Ports, WhoCameLaterAndCannotShareStandsAlone) {
    have({.port = 80, .hosts = {"a.test"}});
    have({.port = 80, .hosts = {"b.test", "a.test"}});
    have({.port = 80, .trust = {{0x7f000001, 32}}, .hosts = {"d.test"}});
    have({.port = 80, .hosts = {"e.test"}});
    have({.port = 80, .bind = "127.0.0.2", .hosts = {"f.test"}});
    EXPECT_EQ(beside(1), (Numbers{1, 4}));
    EXPECT_EQ(beside(2), Numbers{2});
    EXPECT_EQ(beside(3), Numbers{3});
    EXPECT_EQ(beside(5), Numbers{5});
}

TEST_F(Ports, OfWhoWasRemovedIsNobodys) {
    have({.port = 80}).row.is_removed = true;
    have({.port = 80});
    EXPECT_EQ(beside(1), Numbers{1});
    EXPECT_EQ(beside(2), Numbers{2});
}

TEST_F(Ports, AreWantedOnceForWhoSharesAndForEachCall) {
    have({.port = 80, .hosts = {"a.test"}}).spec.calls = {"s3", "nobody"};
    have({.port = 80, .hosts = {"b.test"}});
    have_private();
    const std::vector<model::ListenerRow> expected = {
        {0, 1, kPublicCaller, 0x7f000001, 80},
        {0, 3, 1, 0x7f000001, 0},
    };
    EXPECT_EQ(wanted_listeners(world_), expected);
}

TEST_F(Ports, ARowIsFoundByItsPortOrAnyWhereThatIsOpen) {
    ListenerRows rows;
    rows.add({7, 1, kPublicCaller, 1, 80});
    rows.add({8, 2, 1, 1, 0});
    EXPECT_TRUE(rows.has({0, 1, kPublicCaller, 1, 80}));
    EXPECT_TRUE(rows.has({0, 1, kPublicCaller, 1, 0}));
    EXPECT_FALSE(rows.has({0, 1, kPublicCaller, 1, 81}));
    EXPECT_FALSE(rows.has({0, 1, kPublicCaller, 2, 80}));
    EXPECT_TRUE(rows.has({0, 2, 1, 1, 20000}));
}

TEST_F(Ports, ServicesOfManyManifestsTogetherAreBounded) {
    model::PublicSpec many{.port = 80};
    for (int i = 0; i < 600; ++i) many.hosts.push_back(fmt::format("h{}.test", i));
    have(many);
    World world;
    EXPECT_TRUE(check_room(world, manifest(), Prune::No).ok());

    const model::Manifest first = manifest();
    world_.services.clear();
    many.port = 81;
    Service& other = have(many);
    other.row.name = other.spec.name = "other";
    const Status refused = check_room(world_, first, Prune::No);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().text(),
              "1200 hosts and paths in all, and the edge has room for 1024\n"
              "  try: thole up --prune");
    EXPECT_TRUE(check_room(world_, first, Prune::Yes).ok());
    other.row.is_removed = true;
    EXPECT_TRUE(check_room(world_, first, Prune::No).ok());
}

TEST_F(Ports, MoreServicesThanTheEdgeHasRoomForAreRefused) {
    for (int i = 0; i < 1001; ++i) have_private();
    const Status refused = check_room(World(), manifest(), Prune::No);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().text(), "1001 services in all, and the edge has room for 1000");
    world_.services.erase(1);
    EXPECT_TRUE(check_room(World(), manifest(), Prune::No).ok());
}

}  // namespace
}  // namespace thole::control
