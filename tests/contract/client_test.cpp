// Control's own client of an edge (src/control/edge_client.h) with both of them.
#include "control/edge_client.h"

#include "fixture.h"

namespace thole::contract {

// What was said of an endpoint while no edge was there is said to the next one, and the sequence
// that control was given is acknowledged by it.
TEST_P(EdgeContract, TellsControlsOwnClientOfARemovalAlsoAfterADeath) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes), row(kTwo, kServes)}));
    control_.close_link();
    int connected = 0;
    int lost = 0;
    std::uint64_t applied = 0;
    std::vector<wire::InFlight> in_flight;
    control::EdgeClient client(
        stand_->env(), stand_->run_folder() + "/edge.sock",
        {.connected = [&](const wire::Welcome&) { ++connected; },
         .lost = [&] { ++lost; },
         .snapshot_applied = [](const wire::SnapshotApplied&) {},
         .applied =
             [&](std::uint64_t sequence, const std::vector<wire::InFlight>& named) {
                 applied = sequence;
                 in_flight = named;
             },
         .cut_done = [](const wire::CutDone&) {},
         .hold_applied = [](std::uint32_t) {},
         .stats = [](const wire::StatsHeader&, const std::vector<wire::EndpointStats>&) {},
         .broken = [](const wire::BrokenHeader&, const std::vector<wire::BrokenRequest>&) {},
         .routes = [](const wire::RoutesHeader&, const std::vector<wire::RouteStats>&) {},
         .durations = [](const std::vector<wire::RouteDurations>&) {}});
    ASSERT_TRUE(until([&] { return connected == 1; }));
    // It knows of no instance yet, and the edge goes on.
    EXPECT_EQ(request(), 200);
    client.set(row(kOne, kServes));
    const std::uint64_t both = client.set(row(kTwo, kServes));
    client.begin();
    client.flush();
    ASSERT_TRUE(until([&] { return applied >= both; }));
    const std::vector<std::size_t> requests = ask_many(10, kWaits);
    ASSERT_TRUE(
        until([&] { return stand_->arrivals(kOne).size() + stand_->arrivals(kTwo).size() == 11; }));
    stand_->kill_edge();
    ASSERT_TRUE(until([&] { return lost == 1; }));
    const std::uint64_t removal = client.set(row(kOne, kOut));
    client.flush();
    ASSERT_TRUE(until([&] { return connected == 2 && applied >= removal; }));
    EXPECT_EQ(in_flight.size(), stand_->arrivals(kOne).size() - (has_arrived(kOne, 0) ? 1 : 0));
    for (int i = 0; i < 20; ++i) EXPECT_EQ(request(), 200);
    for (const std::size_t number : requests) {
        stand_->answer(number);
        EXPECT_TRUE(until([&] { return stand_->seen(number) == 200; }));
    }
    EXPECT_EQ(stand_->arrivals(kOne).size() + stand_->arrivals(kTwo).size(), 31U);
}

}  // namespace thole::contract
