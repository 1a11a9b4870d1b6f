// Control's own client of an edge (src/control/edge_client.h) with both of them.
#include "control/edge_client.h"

#include "fixture.h"

namespace thole::contract {

namespace {

control::EdgeEvents hears_nothing() {
    return {.connected = [](const wire::Welcome&) {},
            .lost = [] {},
            .snapshot_applied = [](const wire::SnapshotApplied&) {},
            .applied = [](std::uint64_t, const std::vector<wire::InFlight>&) {},
            .cut_done = [](const wire::CutDone&) {},
            .hold_applied = [](std::uint32_t) {},
            .shares_applied = [] {},
            .stats = [](const wire::StatsHeader&, const std::vector<wire::EndpointStats>&) {},
            .broken = [](const wire::BrokenHeader&, const std::vector<wire::BrokenRequest>&) {},
            .routes = [](const wire::RoutesHeader&, const std::vector<wire::RouteStats>&) {},
            .durations = [](const std::vector<wire::RouteDurations>&) {},
            .refusals = [](const wire::RefusalsHeader&, const std::vector<wire::RefusalStats>&) {},
            .faults = [](const std::vector<wire::FaultState>&) {}};
}

}  // namespace

// As long as it is under way, once it has ended, and after the edge's death.
TEST_P(EdgeContract, TellsControlsOwnClientWhatBecameOfARequest) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    const std::size_t number = stand_->ask(kWaits);
    ASSERT_TRUE(until([&] { return has_arrived(kOne, number); }));
    const wire::RequestId id = stand_->arrivals(kOne).back().id;
    control_.close_link();
    control::EdgeClient client(stand_->env(), stand_->run_folder() + "/edge.sock", hears_nothing());
    const auto told = [&](std::uint32_t digits) {
        std::optional<control::EdgeClient::Found> found;
        bool is_told = false;
        const auto ask = [&] {
            is_told = false;
            client.why({0, id, digits, 0}, [&](auto answer) {
                found = std::move(answer);
                is_told = true;
            });
        };
        // An edge that is just being replaced says nothing.
        EXPECT_TRUE(until([&] {
            if (!is_told || !found) ask();
            return until([&] { return is_told; }, kSoon) && found.has_value();
        }));
        return found ? found->second : std::vector<wire::RequestRecord>{};
    };
    ASSERT_TRUE(until([&] { return client.is_connected(); }));
    std::vector<wire::RequestRecord> rows = told(32);
    ASSERT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows[0].flags & wire::kRequestUnderWay, wire::kRequestUnderWay);
    EXPECT_EQ(rows[0].phase, wire::RequestPhase::Asked);
    EXPECT_EQ(rows[0].at.slot, kOne.slot);
    EXPECT_EQ(rows[0].service, kService);
    EXPECT_EQ(rows[0].listener, kListener);
    stand_->answer(number);
    ASSERT_TRUE(until([&] { return stand_->seen(number) == 200; }));
    const auto has_ended = [&] {
        rows = told(32);
        return rows.size() == 1 && (rows[0].flags & wire::kRequestUnderWay) == 0;
    };
    ASSERT_TRUE(until(has_ended));
    EXPECT_EQ(rows[0].outcome, static_cast<std::uint8_t>(wire::Outcome::Success));
    const std::int64_t ended = rows[0].ended;
    stand_->kill_edge();
    ASSERT_TRUE(until([&] { return !client.is_connected(); }));
    ASSERT_TRUE(until([&] { return client.is_connected(); }));
    ASSERT_TRUE(until(has_ended));
    EXPECT_EQ(rows[0].ended, ended);
}

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
         .shares_applied = [] {},
         .stats = [](const wire::StatsHeader&, const std::vector<wire::EndpointStats>&) {},
         .broken = [](const wire::BrokenHeader&, const std::vector<wire::BrokenRequest>&) {},
         .routes = [](const wire::RoutesHeader&, const std::vector<wire::RouteStats>&) {},
         .durations = [](const std::vector<wire::RouteDurations>&) {},
         .refusals = [](const wire::RefusalsHeader&, const std::vector<wire::RefusalStats>&) {},
         .faults = [](const std::vector<wire::FaultState>&) {}});
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
