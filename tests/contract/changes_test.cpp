// What control relies on in an edge: how changes are taken over and acknowledged, and that what is
// acknowledged holds.
#include "fixture.h"

namespace thole::contract {

TEST_P(EdgeContract, AcknowledgesARemovalOnlyOnceEveryWorkerGoesByIt) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    open_connections();
    for (std::size_t worker = 0; worker < kWorkers; ++worker) {
        // Nothing from before is under way: each worker has just sent a request there.
        ASSERT_TRUE(control_.apply({row(kOne, kOut)}));
        ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
        for (std::size_t connection : {0U, 7U}) ASSERT_EQ(request({.connection = connection}), 200);
        stand_->stop_worker(worker);
        const std::uint64_t sequence = control_.say_endpoints({row(kOne, kOut)});
        const auto is_acknowledged = [&] {
            return control_.acknowledgement_of(sequence) != nullptr;
        };
        EXPECT_FALSE(until(is_acknowledged, kWhile)) << "worker " << worker << " does not turn";
        stand_->continue_worker(worker);
        EXPECT_TRUE(until(is_acknowledged));
    }
}

TEST_P(EdgeContract, AcknowledgesASnapshotOnlyOnceEveryWorkerGoesByIt) {
    for (std::size_t worker = 0; worker < kWorkers; ++worker) {
        control_.write_snapshot(2 + worker, limits());
        const std::size_t before = control_.snapshots.size();
        const auto is_acknowledged = [&] { return control_.snapshots.size() > before; };
        stand_->stop_worker(worker);
        control_.say_snapshot(2 + worker);
        EXPECT_FALSE(until(is_acknowledged, kWhile)) << "worker " << worker << " does not turn";
        stand_->continue_worker(worker);
        ASSERT_TRUE(until(is_acknowledged));
        EXPECT_EQ(control_.snapshots.back().version, 2 + worker);
        EXPECT_EQ(control_.snapshots.back().error, 0);
    }
}

TEST_P(EdgeContract, SendsNoRequestToAnEndpointOnceItsRemovalIsAcknowledged) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes), row(kTwo, kServes)}));
    open_connections();
    // Until both have had requests by connections of both workers.
    for (int i = 0; i < 100; ++i) ASSERT_EQ(request({.connection = std::size_t(i) % 8}), 200);
    ASSERT_GT(stand_->arrivals(kOne).size(), 0U);
    ASSERT_GT(stand_->arrivals(kTwo).size(), 0U);
    ASSERT_TRUE(control_.apply({row(kOne, kOut)}));
    const std::size_t before = stand_->arrivals(kOne).size();
    for (int i = 0; i < 25; ++i) {
        std::vector<std::size_t> requests;
        for (std::size_t connection = 0; connection < 8; ++connection)
            requests.push_back(
                stand_->ask({.connection = connection % 2 == 0 ? connection : kNewConnection}));
        for (const std::size_t number : requests) {
            ASSERT_TRUE(until([&] { return has_ended(number); }));
            EXPECT_EQ(stand_->seen(number), 200);
        }
    }
    EXPECT_EQ(stand_->arrivals(kOne).size(), before);
}

TEST_P(EdgeContract, NamesWhatIsUnderWayAtARemovedEndpointAndTellsItsEnd) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    // More than a page of the simulated one.
    const std::vector<std::size_t> requests = ask_many(40, kWaits);
    ASSERT_TRUE(until([&] { return stand_->arrivals(kOne).size() == requests.size(); }));
    const auto removed = control_.apply({row(kOne, kOut), row(kTwo, kServes)});
    ASSERT_TRUE(removed);
    std::set<RequestKey> named;
    for (const wire::InFlight& each : removed->in_flight) {
        EXPECT_EQ(id_of(each.at), id_of(kOne));
        named.insert(key_of(each.request));
    }
    std::set<RequestKey> arrived;
    for (const Arrival& each : stand_->arrivals(kOne)) arrived.insert(key_of(each.id));
    EXPECT_EQ(named, arrived);
    EXPECT_EQ(named.size(), requests.size());
    for (const std::size_t number : requests) {
        EXPECT_FALSE(has_ended(number));
        stand_->answer(number);
    }
    no_more_in_flight(kOne);
    for (const std::size_t number : requests) EXPECT_EQ(stand_->seen(number), 200);
    EXPECT_TRUE(control_.apply({row(kOne, kOut)})->in_flight.empty());
}

// Else control takes an instance for idle that still works, and ends it.
TEST_P(EdgeContract, CountsWhatIsUnderWayBeforeItAcknowledgesARemoval) {
    for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
        const std::size_t number = stand_->ask(kWaits);
        ASSERT_TRUE(until([&] { return has_arrived(kOne, number); }));
        const auto removed = control_.apply({row(kOne, kOut)});
        ASSERT_TRUE(removed);
        EXPECT_EQ(removed->in_flight.size(), 1U);
        EXPECT_EQ(removed->counted_then.at(id_of(kOne)), 1U);
        stand_->answer(number);
        no_more_in_flight(kOne);
    }
}

TEST_P(EdgeContract, SendsNothingToTheGenerationBefore) {
    const wire::SlotRef next = {kOne.slot, kOne.generation + 1};
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    const std::size_t under_way = stand_->ask(kWaits);
    ASSERT_TRUE(until([&] { return has_arrived(kOne, under_way); }));
    const auto replaced = control_.apply({row(next, kServes)});
    ASSERT_TRUE(replaced);
    ASSERT_EQ(replaced->in_flight.size(), 1U);
    EXPECT_EQ(id_of(replaced->in_flight[0].at), id_of(kOne));
    for (int i = 0; i < 20; ++i) EXPECT_EQ(request(), 200);
    EXPECT_EQ(stand_->arrivals(kOne).size(), 1U);
    EXPECT_EQ(stand_->arrivals(next).size(), 20U);
    EXPECT_EQ(control_.stats[id_of(kOne)].in_flight, 1U);
    stand_->answer(under_way);
    no_more_in_flight(kOne);
    EXPECT_TRUE(until([&] { return counted(next, wire::Outcome::Success) == 20; }));
    EXPECT_EQ(counted(kOne, wire::Outcome::Success), 1U);
    EXPECT_EQ(control_.stats[id_of(kOne)].bits, kGone);
    EXPECT_EQ(control_.stats[id_of(next)].bits, kServes);
}

TEST_P(EdgeContract, TakesOutWhoIsNotNamedInAWholeTable) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes), row(kTwo, kServes)}));
    ASSERT_TRUE(control_.apply({row(kTwo, kServes)}, Table::All));
    for (int i = 0; i < 20; ++i) EXPECT_EQ(request(), 200);
    EXPECT_EQ(stand_->arrivals(kOne).size(), 0U);
    EXPECT_EQ(control_.stats[id_of(kOne)].bits, kGone);
    // A control that knows of no instance says so, too.
    ASSERT_TRUE(control_.apply({}, Table::All));
    const std::size_t waits = stand_->ask(kAtOnce);
    EXPECT_FALSE(until([&] { return has_ended(waits); }, kWhile));
}

// A new control may count from lower numbers, or say again what was not answered.
TEST_P(EdgeContract, DoesWhatIsSaidLastWhateverItsNumber) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes), row(kTwo, kServes)}));
    const auto say = [&](std::uint64_t sequence, std::uint32_t bits) {
        control_.acknowledgements.clear();
        control_.say_endpoints_as(sequence, {row(kOne, bits)});
        EXPECT_TRUE(until([&] { return control_.acknowledgement_of(sequence) != nullptr; }));
        EXPECT_EQ(control_.acknowledgements.size(), 1U);
        EXPECT_EQ(control_.stats[id_of(kOne)].bits, bits);
    };
    say(1000, kOut);
    say(1000, kServes);
    say(999, kOut);
    ASSERT_TRUE(control_.connect());
    EXPECT_EQ(control_.welcome->endpoints_sequence, 999U);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(request(), 200);
    EXPECT_EQ(stand_->arrivals(kOne).size(), 0U);
}

TEST_P(EdgeContract, AnswersInTheOrderInWhichItWasAsked) {
    const std::size_t before = control_.heard.size();
    control_.say_endpoints({row(kOne, kServes)});
    control_.say_cut(kOne);
    control_.say_hold(1);
    control_.say_endpoints({row(kOne, kOut)});
    control_.say_hold(0);
    ASSERT_TRUE(until([&] { return control_.holds.size() == 2; }));
    std::vector<wire::EdgeMessage> answers;
    for (std::size_t i = before; i < control_.heard.size(); ++i) {
        if (control_.heard[i] < wire::EdgeMessage::Stats) answers.push_back(control_.heard[i]);
    }
    const std::vector<wire::EdgeMessage> wanted = {
        wire::EdgeMessage::EndpointsApplied, wire::EdgeMessage::CutDone,
        wire::EdgeMessage::HoldApplied, wire::EdgeMessage::EndpointsApplied,
        wire::EdgeMessage::HoldApplied};
    EXPECT_EQ(answers, wanted);
}

TEST_P(EdgeContract, TellsEveryControlOfItsFaultsAndPutsOffNoEnd) {
    const std::int64_t now = nanoseconds_of(stand_->env().clock.now());
    constexpr std::int64_t kMinute = 60'000'000'000;
    ASSERT_TRUE(until([&] { return control_.faults.has_value(); }));
    EXPECT_TRUE(control_.faults->empty());
    control_.say_fault(1, now + kMinute);
    control_.say_fault(2, now + kMinute);
    control_.say_fault(1, now + 2 * kMinute);
    control_.say_fault(2, 0);
    control_.say_fault(3, 0);
    ASSERT_TRUE(until([&] { return control_.faults_applied.size() == 5; }));
    for (const wire::FaultApplied& applied : control_.faults_applied) EXPECT_EQ(applied.error, 0);
    const auto is_right = [&] {
        return control_.faults && control_.faults->size() == 2 &&
               (*control_.faults)[0].terms.until == now + kMinute &&
               (*control_.faults)[1].terms.until < now + kMinute / 2;
    };
    EXPECT_TRUE(is_right()) << "told before it is acknowledged";
    stand_->kill_edge();
    ASSERT_TRUE(until([&] { return control_.connect(); }));
    EXPECT_TRUE(until(is_right));
}

// A snapshot waits for the disk, and others may be answered before it.
TEST_P(EdgeContract, ActivatesSnapshotsInTheOrderInWhichItWasAsked) {
    wire::SnapshotLimits few = limits();
    few.held_requests_max = 0;
    control_.write_snapshot(2, limits());
    control_.write_snapshot(3, few);
    const std::vector<std::uint64_t> asked = {2, 3, 2, 9, 3};
    const std::size_t before = control_.snapshots.size();
    for (const std::uint64_t version : asked) control_.say_snapshot(version);
    ASSERT_TRUE(control_.apply({row(kOne, kOut)}));
    ASSERT_TRUE(until([&] { return control_.snapshots.size() == before + asked.size(); }));
    for (std::size_t i = 0; i < asked.size(); ++i) {
        EXPECT_EQ(control_.snapshots[before + i].version, asked[i]);
        EXPECT_EQ(control_.snapshots[before + i].error != 0, asked[i] == 9);
    }
    EXPECT_EQ(request(), 503);
}

TEST_P(EdgeContract, ActivatesTheSnapshotThatItIsToldWhateverItsNumber) {
    wire::SnapshotLimits few = limits();
    few.held_requests_max = 0;
    for (const std::uint64_t version : {5U, 3U, 3U, 4U}) {
        // Who may wait tells which one is active.
        const bool may_wait = version == 3;
        const auto applied = control_.activate(version, may_wait ? limits() : few);
        ASSERT_TRUE(applied);
        EXPECT_EQ(applied->error, 0) << applied->reason;
        EXPECT_EQ(applied->version, version);
        const std::size_t number = stand_->ask(kAtOnce);
        EXPECT_EQ(until([&] { return has_ended(number); }, kWhile), !may_wait);
    }
    ASSERT_TRUE(control_.connect());
    EXPECT_EQ(control_.welcome->snapshot_version, 4U);
}

TEST_P(EdgeContract, KeepsItsSnapshotWhereTheNextIsDamagedOrAbsent) {
    ASSERT_TRUE(control_.apply({row(kOne, kServes)}));
    wire::Snapshot snapshot;
    snapshot.version = 2;
    std::string damaged = wire::write_snapshot(snapshot);
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    control_.write_snapshot_bytes(2, damaged);
    for (const std::uint64_t version : {2U, 3U}) {
        const std::size_t before = control_.snapshots.size();
        const std::uint64_t sequence = control_.say_snapshot(version);
        ASSERT_TRUE(until([&] { return control_.snapshots.size() > before; }));
        EXPECT_EQ(control_.snapshots.back().sequence, sequence);
        EXPECT_NE(control_.snapshots.back().error, 0);
        EXPECT_EQ(request(), 200);
    }
    ASSERT_TRUE(control_.connect());
    EXPECT_EQ(control_.welcome->snapshot_version, 1U);
}

}  // namespace thole::contract
