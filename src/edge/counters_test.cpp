// Counts that are exact although whoever counts may be killed between any two stores.
#include "edge/counting.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

namespace thole::edge {
namespace {

using wire::Outcome;

struct Memory {
    std::unique_ptr<WorkerCounters> counters = std::make_unique<WorkerCounters>();
    std::vector<Record> records{4};
    std::vector<ExchangePair> exchanges{4};
    Counting counting{*counters};

    ExchangeAt begin(std::uint32_t fd, wire::SlotRef at) {
        Record& record = records[fd];
        record.cookie = 100 + fd;
        record.state = state_of(commits_of(record), fd);
        commit(exchange(fd), [&](Exchange& next) {
            next = {};
            next.phase = Phase::Answering;
            next.slot = at.slot;
            next.generation = at.generation;
            next.listener = 7;
            next.release = 3;
            next.begun_ns = next.attached_ns = 1'000'000;
        });
        return exchange(fd);
    }
    ExchangeAt exchange(std::uint32_t fd) { return {records[fd], exchanges[fd]}; }
    void end(std::uint32_t fd, Outcome outcome) { end_at(fd, outcome, 3'000'000); }
    void end_at(std::uint32_t fd, Outcome outcome, std::int64_t now_ns) {
        counting.end(exchange(fd), fd, {outcome, now_ns, "GET /a HTTP/1.1\r\nHost: b\r\n\r\n"},
                     [](Exchange&) {});
    }
    std::uint64_t count(wire::SlotRef at, Outcome outcome) const {
        const EndpointCounters& found = counters->endpoints[at.slot][at.generation & 1];
        return found.generation == at.generation
                   ? found.outcomes[static_cast<std::uint32_t>(outcome)].load()
                   : 0;
    }
};

TEST(Counting, AnExchangeCountsOnceHoweverOftenItEnds) {
    Memory memory;
    memory.begin(1, {20, 1});
    memory.end(1, Outcome::Success);
    memory.end(1, Outcome::ClientGone);
    EXPECT_EQ(memory.count({20, 1}, Outcome::Success), 1U);
    EXPECT_EQ(memory.count({20, 1}, Outcome::ClientGone), 0U);
    EXPECT_EQ(memory.counters->endpoints[20][1].latency_sum_ns.load(), 2'000'000U);
    EXPECT_EQ(memory.counters->latencies[20][1].counts[latency_bucket(2000)].load(), 1U);
}

// The kill comes after the commit and before the first count: a successor counts it.
TEST(Counting, AKillAfterTheCommitLosesNoCount) {
    Memory memory;
    memory.begin(1, {20, 1});
    const auto before = std::make_unique<WorkerCounters>();
    std::memcpy(static_cast<void*>(before.get()), memory.counters.get(), sizeof(WorkerCounters));
    memory.end(1, Outcome::Success);
    // What stood there at the kill: all as before, but for what was to be done.
    const Redo redo = memory.counters->redo;
    std::memcpy(static_cast<void*>(memory.counters.get()), before.get(), sizeof(WorkerCounters));
    memory.counters->redo = redo;
    memory.counters->redo.count = 5;
    memory.counting.recover(memory.records);
    EXPECT_EQ(memory.counters->redo.count, 0U);
    memory.end(1, Outcome::Success);
    // The counters themselves are claimed before the commit, so they are found again.
    EXPECT_EQ(memory.counters->endpoints[20][1].outcomes[1].load(), 1U);
}

// The kill comes before the commit: the exchange goes on, and counts when it ends.
TEST(Counting, AKillBeforeTheCommitCountsNothingYet) {
    Memory memory;
    const ExchangeAt record = memory.begin(1, {20, 1});
    memory.end(1, Outcome::Success);
    memory.begin(1, {20, 1});
    memory.counters->redo.count = 2;
    memory.counters->redo.commit = commits_of(record.record) + 1;
    memory.counting.recover(memory.records);
    EXPECT_EQ(memory.count({20, 1}, Outcome::Success), 1U);
    memory.end(1, Outcome::Success);
    EXPECT_EQ(memory.count({20, 1}, Outcome::Success), 2U);
}

// The end of a whole exchange lets go of its block by the same store that makes it count.
TEST(Counting, AKillRightAfterAWholeExchangeLosesNoCount) {
    Memory memory;
    const ExchangeAt exchange = memory.begin(1, {20, 1});
    const auto before = std::make_unique<WorkerCounters>();
    memory.counting.attached({20, 1});
    std::memcpy(static_cast<void*>(before.get()), memory.counters.get(), sizeof(WorkerCounters));
    const std::uint64_t commits = commits_of(exchange.record);
    memory.counting.end_whole(exchange, 1, {Outcome::Success, 3'000'000, {}});
    EXPECT_FALSE(has_exchange(exchange.record));
    const Redo redo = memory.counters->redo;
    EXPECT_EQ(redo.commit, commits + 1);
    std::memcpy(static_cast<void*>(memory.counters.get()), before.get(), sizeof(WorkerCounters));
    memory.counters->redo = redo;
    memory.counters->redo.count = 5;
    memory.counting.recover(memory.records);
    EXPECT_EQ(memory.count({20, 1}, Outcome::Success), 1U);
    memory.begin(1, {20, 1});
    memory.end(1, Outcome::Success);
    EXPECT_EQ(memory.count({20, 1}, Outcome::Success), 2U);
}

// Damaged memory must not become a write to anywhere.
TEST(Counting, StoresOutsideTheCountersAreNotDone) {
    Memory memory;
    memory.begin(1, {20, 1});
    memory.counters->redo = {.count = 1, .fd = 1, .cookie = 101, .commit = 0, .stores = {}};
    memory.counters->redo.stores[0] = {sizeof(WorkerCounters) + 8, 1};
    memory.counting.recover(memory.records);
    memory.counters->redo.count = 99;
    memory.counting.recover(memory.records);
    EXPECT_EQ(memory.counters->redo.count, 0U);
}

TEST(Counting, TheNextInstanceOfASlotBeginsAtZeroAndTheOneBeforeIsKept) {
    Memory memory;
    memory.begin(1, {20, 1});
    memory.end(1, Outcome::Success);
    memory.begin(1, {20, 2});
    memory.end(1, Outcome::ServerError);
    EXPECT_EQ(memory.count({20, 1}, Outcome::Success), 1U);
    EXPECT_EQ(memory.count({20, 2}, Outcome::ServerError), 1U);
    memory.begin(1, {20, 3});
    memory.end(1, Outcome::Success);
    EXPECT_EQ(memory.count({20, 3}, Outcome::Success), 1U);
    // Too late for its own generation: counted for the route alone.
    memory.begin(1, {20, 1});
    memory.end(1, Outcome::Success);
    EXPECT_EQ(memory.count({20, 3}, Outcome::Success), 1U);
}

TEST(Counting, WhatBrokeIsKeptWithItsFirstLine) {
    Memory memory;
    memory.begin(1, {20, 1});
    memory.end(1, Outcome::Reset);
    memory.begin(2, {20, 1});
    memory.end(2, Outcome::ClientError);
    ASSERT_EQ(memory.counters->broken.written.load(), 1U);
    EXPECT_STREQ(memory.counters->broken.requests[0].target, "GET /a");
    EXPECT_EQ(memory.counters->broken.requests[0].at.slot, 20U);
}

TEST(Counting, MoreRoutesThanThereIsRoomForCountAsOne) {
    Memory memory;
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < kRoutesMax + 500; ++i) {
        const ExchangeAt record = memory.begin(1, {20, 1});
        commit(record, [&](Exchange& next) { next.listener = i + 1; });
        memory.end(1, Outcome::Success);
    }
    for (const RouteCounters& route : memory.counters->routes) sum += route.outcomes[1].load();
    EXPECT_EQ(sum, kRoutesMax + 500);
    EXPECT_GE(memory.counters->routes[kRoutesMax - 1].outcomes[1].load(), 500U);
}

// Releases come and go for months: those of today have places of their own.
TEST(Counting, ARouteThatHasGoneAndCountsNothingForAnHourGivesItsPlaceToAnother) {
    Memory memory;
    const auto end_by = [&memory](std::uint32_t listener, std::int64_t now_ns) {
        const ExchangeAt record = memory.begin(1, {20, 1});
        commit(record, [&](Exchange& next) {
            next.listener = listener;
            next.attached_ns = now_ns - 2'000'000;
        });
        memory.end_at(1, Outcome::Success, now_ns);
    };
    for (std::uint32_t i = 1; i <= 2 * kRoutesMax; ++i) end_by(i, 3'000'000);
    const std::uint64_t others = memory.counters->routes[kRoutesMax - 1].outcomes[1].load();
    EXPECT_GT(others, kRoutesMax);
    const std::uint32_t newcomer = 3 * kRoutesMax;
    // Idle, but nobody has said that they have gone.
    end_by(newcomer, 4'000'000 + kRouteIdleNs);
    EXPECT_EQ(memory.counters->routes[kRoutesMax - 1].outcomes[1].load(), others + 1);
    for (RouteCounters& route : memory.counters->routes) route.has_gone = 1;
    end_by(newcomer, 3'000'000 + kRouteIdleNs);
    EXPECT_EQ(memory.counters->routes[kRoutesMax - 1].outcomes[1].load(), others + 2);
    end_by(newcomer, 4'000'000 + kRouteIdleNs);
    end_by(newcomer, 4'000'000 + kRouteIdleNs);
    EXPECT_EQ(memory.counters->routes[kRoutesMax - 1].outcomes[1].load(), others + 2);
    for (std::uint32_t place = 0; place < kRoutesMax - 1; ++place) {
        if (memory.counters->routes[place].listener != newcomer) continue;
        EXPECT_EQ(memory.counters->routes[place].outcomes[1].load(), 2U);
        const LatencyHistogram& histogram = memory.counters->route_latencies[place].of[1];
        EXPECT_EQ(histogram.counts[latency_bucket(2000)].load(), 2U);
        EXPECT_EQ(memory.counters->routes[place].latency_sum_ns[1].load(), 4'000'000U);
        return;
    }
    ADD_FAILURE() << "it has no place";
}

TEST(Counting, EachOutcomeOfARouteHasAHistogramOfItsOwn) {
    Memory memory;
    memory.begin(1, {20, 1});
    memory.end(1, Outcome::Success);
    memory.begin(1, {20, 1});
    memory.end_at(1, Outcome::ServerError, 9'000'000);
    memory.begin(1, {20, 1});
    memory.end_at(1, Outcome::Reset, 9'000'000);  // Not the instance's answer.
    for (std::uint32_t place = 0; place < kRoutesMax; ++place) {
        if (memory.counters->routes[place].is_used.load() == 0) continue;
        const RouteLatencies& latencies = memory.counters->route_latencies[place];
        EXPECT_EQ(latencies.of[1].counts[latency_bucket(2000)].load(), 1U);
        EXPECT_EQ(latencies.of[1].counts[latency_bucket(8000)].load(), 0U);
        EXPECT_EQ(latencies.of[4].counts[latency_bucket(8000)].load(), 1U);
    }
    EXPECT_EQ(memory.counters->latencies[20][1].counts[latency_bucket(8000)].load(), 1U);
}

TEST(Counting, ARequestSentAgainCountsWhereItEnds) {
    Memory memory;
    const ExchangeAt record = memory.begin(1, {20, 1});
    memory.counting.attached({20, 1});
    memory.counting.replay(record, 1, [](Exchange& next) { next.slot = 21; });
    memory.counting.released({20, 1});
    memory.end(1, Outcome::Success);
    EXPECT_EQ(memory.count({20, 1}, Outcome::Success), 0U);
    EXPECT_EQ(memory.count({21, 1}, Outcome::Success), 1U);
    EXPECT_EQ(memory.counters->endpoints[20][1].replayed.load(), 1U);
    EXPECT_EQ(memory.counters->endpoints[20][1].in_flight.load(), 0U);
    EXPECT_EQ(memory.counters->replayed_ever.load(), 1U);
}

}  // namespace
}  // namespace thole::edge
