// Who may end before whom, where a manifest does not name them any more.
#include "control/world.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace thole::control {
namespace {

// Each manifest asks for a release of its own.
model::ReleaseRow release_of(std::uint32_t service, std::uint32_t number) {
    model::ReleaseRow row;
    row.service = service;
    row.number = number;
    row.revision = number;
    return row;
}

// Services by name, each with whom it calls; all of the first manifest, and serving v1.
class Removed : public testing::Test {
protected:
    void have(const std::vector<std::pair<std::string, std::string>>& services) {
        Stored stored;
        std::string text = "name: world\nservices:\n";
        for (const auto& [name, calls] : services) {
            const auto id = static_cast<std::uint32_t>(stored.services.size() + 1);
            text += fmt::format("  {}: {{run: ./serve, calls: [{}]}}\n", name, calls);
            stored.services.push_back({.id = id, .name = name, .serving = 1, .wanted = 1});
            stored.releases.push_back(release_of(id, 1));
        }
        stored.manifests.push_back({.revision = 1, .folder = "/", .text = text});
        ASSERT_TRUE(fill(world_, std::move(stored)).ok());
        for (const auto& [id, service] : world_.services) run(service, 1);
    }
    void run(const Service& service, std::uint32_t release) {
        const auto slot = static_cast<std::uint32_t>(world_.instances.size() + 1);
        Instance& made = world_.instances[slot];
        made.id = {slot, 1};
        made.service = service.row.id;
        made.version.release = release;
    }
    void end(const Service& service) {
        std::erase_if(world_.instances,
                      [&](const auto& each) { return each.second.service == service.row.id; });
    }
    Service& at(std::string_view name) { return *find_known(world_, name); }
    bool may_end(std::string_view name) { return may_stop(world_, at(name)); }

    World world_;
};

TEST_F(Removed, EndsAfterWhoCallsIt) {
    have({{"web", "api"}, {"api", ""}});
    at("web").row.is_removed = at("api").row.is_removed = true;
    EXPECT_TRUE(may_end("web"));
    EXPECT_FALSE(may_end("api"));
    end(at("web"));
    EXPECT_TRUE(may_end("api"));
}

// They would wait for each other without end.
TEST_F(Removed, EndsThoughAllOfThemCallEachOtherInARing) {
    have({{"one", "two"}, {"two", "three"}, {"three", "one"}});
    for (auto& [id, service] : world_.services) service.row.is_removed = true;
    for (const char* const name : {"one", "two", "three"}) EXPECT_TRUE(may_end(name)) << name;
}

// The release that calls it would be started again beside nobody.
TEST_F(Removed, StaysWhileAReleaseThatMayBeStartedAgainCallsIt) {
    have({{"web", "api"}, {"api", ""}});
    model::Manifest alone = world_.parsed[1];
    alone.services.pop_back();
    alone.services.front().calls.clear();
    world_.parsed[2] = alone;
    Service& web = at("web");
    web.spec = alone.services.front();
    web.releases[2] = release_of(web.row.id, 2);
    web.row.wanted = 2;
    at("api").row.is_removed = true;
    end(web);
    run(web, 2);
    EXPECT_FALSE(may_end("api"));
    web.row.serving = 2;
    EXPECT_TRUE(may_end("api"));
}

// Whom it calls itself goes on, and so does what that one asks of it.
TEST_F(Removed, StaysWhileItIsCalledByOneThatGoesOnAndIsCalledByIt) {
    have({{"web", "api"}, {"api", "web"}});
    at("api").row.is_removed = true;
    EXPECT_FALSE(may_end("api"));
    world_.is_down = true;
    EXPECT_TRUE(may_end("api"));
}

TEST_F(Removed, KeepsItsName) {
    have({{"api", ""}});
    at("api").row.is_removed = true;
    EXPECT_EQ(find_service(world_, "api"), nullptr);
    EXPECT_EQ(find_known(world_, "api"), &at("api"));
}

}  // namespace
}  // namespace thole::control
