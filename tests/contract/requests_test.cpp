// What control relies on in an edge: requests that wait, that break and that are cut, exact counts,
// and links of control that come and go.
#include "fixture.h"

namespace thole::contract {
namespace {

using wire::Outcome;

std::vector<wire::EdgeMessage> first_of_each(const std::vector<wire::EdgeMessage>& heard) {
    std::vector<wire::EdgeMessage> found;
    for (const wire::EdgeMessage each : heard) {
        if (std::find(found.begin(), found.end(), each) == found.end()) found.push_back(each);
    }
    return found;
}

}  // namespace

TEST_P(EdgeContract, LetsARequestWaitUntilAnEndpointServes) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    open_connections();
    ASSERT_TRUE(control_.apply({row(kOne, kOut)}));
    const std::size_t arrived = stand_->arrivals(kOne).size();
    std::vector<std::size_t> requests;
    for (std::size_t i = 0; i < 8; ++i) requests.push_back(stand_->ask({.connection = i}));
    ASSERT_TRUE(until([&] { return control_.header.held == requests.size(); }));
    EXPECT_EQ(control_.header.held_ever, requests.size());
    for (const std::size_t number : requests) EXPECT_FALSE(has_ended(number));
    EXPECT_EQ(stand_->arrivals(kOne).size(), arrived);
    ASSERT_TRUE(control_.apply({row(kTwo, kServes)}));
    for (const std::size_t number : requests) {
        EXPECT_TRUE(until([&] { return has_ended(number); }, 1s));
        EXPECT_EQ(stand_->seen(number), 200);
        EXPECT_TRUE(has_arrived(kTwo, number));
    }
    EXPECT_TRUE(until([&] { return control_.header.held == 0; }));
    EXPECT_GT(control_.header.added_wait_max_ns, 0);
}

TEST_P(EdgeContract, LetsEveryRequestWaitWhereControlHoldsTheService) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    control_.say_hold(1);
    ASSERT_TRUE(until([&] { return control_.holds.size() == 1; }));
    EXPECT_EQ(control_.holds[0].on, 1U);
    const std::vector<std::size_t> requests = ask_many(5, kAtOnce);
    ASSERT_TRUE(until([&] { return control_.header.held == requests.size(); }));
    control_.say_hold(0);
    for (const std::size_t number : requests) {
        EXPECT_TRUE(until([&] { return has_ended(number); }));
        EXPECT_EQ(stand_->seen(number), 200);
    }
}

// Between a snapshot and what control says next nobody may slip through.
TEST_P(EdgeContract, HoldsAServiceFromItsBeginningWhereThatWasSaidBefore) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    wire::Snapshot none;
    none.version = 2;
    control_.write_snapshot_bytes(2, wire::write_snapshot(none));
    const std::size_t before = control_.snapshots.size();
    control_.say_snapshot(2);
    ASSERT_TRUE(until([&] { return control_.snapshots.size() == before + 1; }));
    control_.say_hold(1);
    ASSERT_TRUE(until([&] { return control_.holds.size() == 1; }));
    EXPECT_EQ(control_.holds[0].on, 0U);
    ASSERT_TRUE(control_.activate(3, limits()));
    const std::size_t waits = stand_->ask(kAtOnce);
    ASSERT_TRUE(until([&] { return control_.header.held == 1; }));
    control_.say_hold(0);
    EXPECT_TRUE(until([&] { return has_ended(waits); }));
    EXPECT_EQ(stand_->seen(waits), 200);
}

TEST_P(EdgeContract, RefusesWhoHasWaitedAsLongAsTheSnapshotAllows) {
    wire::SnapshotLimits short_hold = limits();
    short_hold.hold = 300ms;
    ASSERT_TRUE(control_.activate(2, short_hold));
    const Time begun = stand_->env().clock.now();
    EXPECT_EQ(request(), 503);
    EXPECT_GE(stand_->env().clock.now() - begun, 300ms);
    // It waits no more: whoever serves now does not see it.
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    EXPECT_EQ(request(), 200);
    EXPECT_EQ(stand_->arrivals(kOne).size(), 1U);
}

TEST_P(EdgeContract, LetsNoMoreRequestsWaitThanTheSnapshotAllows) {
    wire::SnapshotLimits few = limits();
    few.held_requests_max = 3;
    ASSERT_TRUE(control_.activate(2, few));
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(control_.apply({row(kOne, kOut)}));
        const std::vector<std::size_t> requests = ask_many(3, kAtOnce);
        ASSERT_TRUE(until([&] { return control_.header.held == 3; }));
        for (int more = 0; more < 4; ++more) EXPECT_EQ(request(), 503);
        ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
        for (const std::size_t number : requests) {
            EXPECT_TRUE(until([&] { return has_ended(number); }));
            EXPECT_EQ(stand_->seen(number), 200);
        }
    }
}

TEST_P(EdgeContract, LetsNoMoreBytesWaitThanTheSnapshotAllows) {
    wire::SnapshotLimits few = limits();
    few.held_bytes_max = 10'000;
    ASSERT_TRUE(control_.activate(2, few));
    stand_->ask({.body_bytes = 4000});
    ASSERT_TRUE(until([&] { return control_.header.held == 1; }));
    EXPECT_EQ(request({.body_bytes = 8000}), 503);
    stand_->ask({.body_bytes = 4000});
    EXPECT_TRUE(until([&] { return control_.header.held == 2; }));
}

// Between an instance's death and control's word that it is out nobody may see an error.
TEST_P(EdgeContract, LetsRequestsWaitWhoseInstanceIsJustGone) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    stand_->kill(kOne);
    const std::vector<std::size_t> requests = ask_many(5, kAtOnce);
    ASSERT_TRUE(until([&] { return control_.header.held == requests.size(); }));
    ASSERT_TRUE(control_.apply({row(kOne, kGone), row(kTwo, kServes)}));
    for (const std::size_t number : requests) {
        EXPECT_TRUE(until([&] { return has_ended(number); }));
        EXPECT_EQ(stand_->seen(number), 200);
    }
    EXPECT_EQ(stand_->arrivals(kOne).size(), 0U);
    EXPECT_TRUE(control_.broken.empty());
}

TEST_P(EdgeContract, NamesWhatBrokeWithItsInstance) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    const std::size_t number = stand_->ask(kWaits);
    ASSERT_TRUE(until([&] { return has_arrived(kOne, number); }));
    stand_->kill(kOne);
    EXPECT_TRUE(until([&] { return has_ended(number) && !control_.broken.empty(); }));
    EXPECT_EQ(stand_->seen(number), 502);
    no_more_in_flight(kOne);
    EXPECT_EQ(counted(kOne, Outcome::Reset), 1U);
    // Once; and to whoever is control later, again.
    for (int i = 0; i < 2; ++i) {
        ASSERT_EQ(control_.broken.size(), 1U);
        EXPECT_EQ(key_of(control_.broken[0].request), key_of(stand_->arrivals(kOne)[0].id));
        EXPECT_EQ(id_of(control_.broken[0].at), id_of(kOne));
        EXPECT_EQ(control_.broken[0].outcome, Outcome::Reset);
        EXPECT_EQ(control_.broken[0].listener, kListener);
        ASSERT_TRUE(control_.connect());
        EXPECT_TRUE(until([&] { return !control_.broken.empty(); }));
    }
}

// Requests end by themselves: what is to be ended one by one are tunnels and event streams.
TEST_P(EdgeContract, ADrainIsAnsweredAndLeavesRequestsAlone) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    const std::size_t request = stand_->ask(kWaits);
    ASSERT_TRUE(until([&] { return has_arrived(kOne, request); }));
    ASSERT_TRUE(control_.apply({row(kOne, kOut)}));
    for (const std::int64_t within_ns : {std::int64_t{0}, std::int64_t{5'000'000'000}}) {
        const auto done = control_.drain(kOne, within_ns);
        ASSERT_TRUE(done);
        EXPECT_EQ(id_of(done->at), id_of(kOne));
    }
    EXPECT_FALSE(has_ended(request));
    stand_->answer(request);
    EXPECT_TRUE(until([&] { return stand_->seen(request) == 200; }));
    EXPECT_TRUE(until([&] { return counted(kOne, Outcome::Success) == 1; }));
    EXPECT_EQ(control_.stats[id_of(kOne)].ended, 0U);
}

TEST_P(EdgeContract, CutsWhatIsOpenAtAnEndpointAndNothingElse) {
    ASSERT_TRUE(control_.apply({row(kTwo, kServes)}));
    const std::size_t other = stand_->ask(kWaits);
    ASSERT_TRUE(until([&] { return has_arrived(kTwo, other); }));
    ASSERT_TRUE(control_.apply({row(kOne, kServes), row(kTwo, kOut)}));
    const std::vector<std::size_t> requests = ask_many(3, kWaits);
    ASSERT_TRUE(until([&] { return stand_->arrivals(kOne).size() == requests.size(); }));
    const auto removed = control_.apply({row(kOne, kOut), row(kTwo, kOut)});
    ASSERT_TRUE(removed);
    EXPECT_EQ(removed->in_flight.size(), 4U);
    const auto done = control_.cut(kOne);
    ASSERT_TRUE(done);
    EXPECT_EQ(done->cut, 3U);
    EXPECT_EQ(id_of(done->at), id_of(kOne));
    // The counts came first.
    EXPECT_EQ(control_.stats[id_of(kOne)].in_flight, 0U);
    EXPECT_EQ(counted(kOne, Outcome::Cut), 3U);
    for (const std::size_t number : requests) {
        EXPECT_TRUE(until([&] { return has_ended(number); }));
        EXPECT_EQ(stand_->seen(number), 502);
    }
    EXPECT_TRUE(until([&] { return control_.broken.size() == 3; }));
    for (const wire::BrokenRequest& each : control_.broken) EXPECT_EQ(each.outcome, Outcome::Cut);
    EXPECT_FALSE(has_ended(other));
    EXPECT_EQ(control_.cut(kOne)->cut, 0U);
    stand_->answer(other);
    EXPECT_TRUE(until([&] { return stand_->seen(other) == 200; }));
}

TEST_P(EdgeContract, CountsEveryRequestOnceAsItsClientSawIt) {
    wire::SnapshotLimits few = limits();
    few.held_requests_max = 2;
    few.hold = 200ms;
    ASSERT_TRUE(control_.activate(2, few));
    ASSERT_TRUE(control_.apply({row(kOne, kServes), row(kTwo, kServes)}));
    open_connections();
    std::vector<std::size_t> requests = ask_many(30, kAtOnce);
    for (std::size_t i = 0; i < 8; ++i) requests.push_back(stand_->ask({.connection = i}));
    for (const std::size_t number : requests) ASSERT_TRUE(until([&] { return has_ended(number); }));
    const std::uint64_t at_one = stand_->arrivals(kOne).size();
    const std::uint64_t at_two = stand_->arrivals(kTwo).size();
    EXPECT_EQ(at_one + at_two, requests.size() + 8);
    // Two that are cut, two whose instance dies, two that wait too long and three too many.
    ASSERT_TRUE(control_.apply({row(kTwo, kOut)}));
    ask_many(2, kWaits);
    ASSERT_TRUE(until([&] { return stand_->arrivals(kOne).size() == at_one + 2; }));
    ASSERT_TRUE(control_.apply({row(kOne, kOut), row(kTwo, kServes)}));
    ASSERT_TRUE(control_.cut(kOne));
    ask_many(2, kWaits);
    ASSERT_TRUE(until([&] { return stand_->arrivals(kTwo).size() == at_two + 2; }));
    stand_->kill(kTwo);
    ASSERT_TRUE(control_.apply({row(kTwo, kGone)}));
    for (const std::size_t number : ask_many(5, kAtOnce)) {
        ASSERT_TRUE(until([&] { return has_ended(number); }));
        EXPECT_EQ(stand_->seen(number), 503);
    }
    const auto is_counted = [&] {
        return counted(kOne, Outcome::Success) == at_one && counted(kOne, Outcome::Cut) == 2 &&
               counted(kTwo, Outcome::Success) == at_two && counted(kTwo, Outcome::Reset) == 2;
    };
    EXPECT_TRUE(until(is_counted));
    ASSERT_TRUE(control_.connect());
    ASSERT_TRUE(until([&] { return control_.has_all_routes; }));
    EXPECT_TRUE(is_counted());
    for (const auto& [at, row] : control_.stats) {
        EXPECT_EQ(row.in_flight, 0U);
        EXPECT_EQ(row.begun, row.outcomes[1] + 2) << "nothing else was counted there";
    }
    std::map<std::pair<std::uint32_t, Outcome>, std::uint64_t> by_slot;
    for (const auto& [key, route] : control_.routes) {
        EXPECT_EQ(route.listener, kListener);
        for (std::uint32_t i = 0; i < wire::kOutcomes; ++i) {
            if (route.outcomes[i] != 0)
                by_slot[{route.slot, static_cast<Outcome>(i)}] += route.outcomes[i];
        }
    }
    const std::map<std::pair<std::uint32_t, Outcome>, std::uint64_t> wanted = {
        {{kOne.slot, Outcome::Success}, at_one},
        {{kOne.slot, Outcome::Cut}, 2},
        {{kTwo.slot, Outcome::Success}, at_two},
        {{kTwo.slot, Outcome::Reset}, 2},
        {{wire::kNoSlot, Outcome::Overloaded}, 5}};
    EXPECT_EQ(by_slot, wanted);
    // Each answer of an instance has its duration, and nothing else has one.
    std::map<std::uint32_t, std::uint64_t> timed;
    for (const auto& [key, row] : control_.durations) {
        EXPECT_EQ(row.outcome, Outcome::Success);
        EXPECT_GT(row.sum_ns, 0U);
        for (const std::uint64_t count : row.counts) timed[row.slot] += count;
    }
    EXPECT_EQ(timed[kOne.slot], at_one);
    EXPECT_EQ(timed[kTwo.slot], at_two);
    EXPECT_EQ(control_.header.broken_ever, 4U);
}

TEST_P(EdgeContract, TellsANewControlTheSameThingsFirst) {
    const wire::SlotRef third = {22, 1};
    ASSERT_TRUE(control_.apply({row(kOne, kServes), row(kTwo, kOut), row(third, kGone)}));
    const std::size_t number = stand_->ask(kWaits);
    ASSERT_TRUE(until([&] { return has_arrived(kOne, number); }));
    stand_->kill(kOne);
    ASSERT_TRUE(until([&] { return !control_.broken.empty(); }));
    ASSERT_TRUE(control_.apply({row(kOne, kGone)}));
    const std::uint64_t epoch = control_.welcome->epoch;
    const std::uint32_t pid = control_.welcome->pid;
    ASSERT_TRUE(control_.connect());
    ASSERT_TRUE(until([&] { return control_.has_all_routes; }));
    const std::vector<wire::EdgeMessage> wanted = {
        wire::EdgeMessage::Welcome, wire::EdgeMessage::Stats,  wire::EdgeMessage::Broken,
        wire::EdgeMessage::Faults,  wire::EdgeMessage::Queued, wire::EdgeMessage::Refusals,
        wire::EdgeMessage::Routes};
    EXPECT_EQ(first_of_each(control_.heard), wanted);
    EXPECT_EQ(control_.welcome->version, 1U);
    EXPECT_EQ(control_.welcome->epoch, epoch);
    EXPECT_EQ(control_.welcome->pid, pid);
    EXPECT_EQ(control_.welcome->snapshot_version, 1U);
    // Also of those that had no request.
    ASSERT_EQ(control_.stats.size(), 3U);
    EXPECT_EQ(control_.stats[id_of(kOne)].bits, kGone);
    EXPECT_EQ(control_.stats[id_of(kTwo)].bits, kOut);
    EXPECT_EQ(control_.stats[id_of(third)].bits, kGone);
    EXPECT_EQ(control_.stats[id_of(kOne)].begun, 1U);
    EXPECT_EQ(control_.stats[id_of(kTwo)].begun, 0U);
}

TEST_P(EdgeContract, GoesOnWithWhatItKnowsWhileThereIsNoControl) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes), row(kTwo, kOut)}));
    control_.close_link();
    for (int i = 0; i < 20; ++i) EXPECT_EQ(request(), 200);
    // Nor does it forget because a control that says nothing yet is there.
    ASSERT_TRUE(control_.connect());
    for (int i = 0; i < 20; ++i) EXPECT_EQ(request(), 200);
    EXPECT_EQ(stand_->arrivals(kTwo).size(), 0U);
    EXPECT_TRUE(until([&] { return counted(kOne, Outcome::Success) == 40; }));
}

TEST_P(EdgeContract, ListensToTheNewestControlAlone) {
    Control next(*stand_);
    ASSERT_TRUE(next.connect());
    EXPECT_TRUE(until([&] { return control_.is_closed; }));
    ASSERT_TRUE(next.apply({row(kOne, kServes)}));
    EXPECT_EQ(request(), 200);
}

TEST_P(EdgeContract, WelcomesANewControlOnlyOnceTheOldOnesChangeHolds) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes), row(kTwo, kServes)}));
    stand_->stop_worker(1);
    const std::uint64_t sequence = control_.say_endpoints({row(kOne, kOut)});
    // The edge is at it.
    EXPECT_FALSE(until([] { return false; }, kWhile));
    Control next(*stand_);
    next.open_link();
    EXPECT_FALSE(until([&] { return next.welcome.has_value(); }, kWhile));
    stand_->continue_worker(1);
    ASSERT_TRUE(until([&] { return next.welcome.has_value(); }));
    EXPECT_EQ(next.welcome->endpoints_sequence, sequence);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(request(), 200);
    EXPECT_EQ(stand_->arrivals(kOne).size(), 0U);
}

TEST_P(EdgeContract, GoesOnInTheNextEdgeWhereThisOneDied) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes), row(kTwo, kServes)}));
    for (int i = 0; i < 20; ++i) ASSERT_EQ(request(), 200);
    ASSERT_TRUE(control_.apply({row(kTwo, kOut)}));
    const std::size_t under_way = stand_->ask(kWaits);
    ASSERT_TRUE(until([&] { return has_arrived(kOne, under_way); }));
    ASSERT_TRUE(control_.apply({row(kOne, kOut)}));
    const std::size_t waits = stand_->ask(kAtOnce);
    ASSERT_TRUE(until([&] {
        return control_.header.held == 1 &&
               counted(kOne, Outcome::Success) + counted(kTwo, Outcome::Success) == 20;
    }));
    const wire::Welcome before = *control_.welcome;
    stand_->kill_edge();
    ASSERT_TRUE(until([&] { return control_.is_closed; }));
    ASSERT_TRUE(control_.connect());
    EXPECT_GT(control_.welcome->epoch, before.epoch);
    EXPECT_NE(control_.welcome->pid, before.pid);
    EXPECT_EQ(control_.welcome->snapshot_version, 1U);
    EXPECT_EQ(control_.welcome->endpoints_sequence, 0U);
    ASSERT_TRUE(until([&] { return control_.stats.size() == 2; }));
    EXPECT_EQ(control_.stats[id_of(kOne)].bits, kOut);
    EXPECT_EQ(control_.stats[id_of(kOne)].in_flight, 1U);
    EXPECT_EQ(counted(kOne, Outcome::Success) + counted(kTwo, Outcome::Success), 20U);
    EXPECT_FALSE(has_ended(waits));
    stand_->answer(under_way);
    EXPECT_TRUE(until([&] { return stand_->seen(under_way) == 200; }));
    ASSERT_TRUE(control_.apply({row(kTwo, kServes)}));
    EXPECT_TRUE(until([&] { return stand_->seen(waits) == 200; }));
    EXPECT_TRUE(has_arrived(kTwo, waits));
}

}  // namespace thole::contract
