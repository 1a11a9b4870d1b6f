// What is remembered of requests, although whoever remembers may be killed between any two stores,
// and goes on while somebody reads.
#include "edge/black_box.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "edge/counters.h"
#include "edge/counting.h"
#include "edge/test_times.h"

namespace thole::edge {
namespace {

using wire::Outcome;

struct Box {
    std::unique_ptr<WorkerCounters> counters = std::make_unique<WorkerCounters>();
    std::vector<Record> records{4};
    std::vector<ExchangePair> exchanges{4};
    Counting counting{*counters};

    ExchangeAt begin(std::uint64_t id) {
        Record& record = records[1];
        record.cookie = 101;
        record.caller = Caller::Proved;
        record.state = state_of(commits_of(record), 1);
        const ExchangeAt at{record, exchanges[1]};
        commit(at, [&](Exchange& next) {
            next = {};
            next.phase = Phase::Answering;
            next.id = {id, 1};
            next.slot = 20;
            next.generation = 4;
            next.listener = 7;
            next.release = 3;
            next.status = 200;
            next.begun_ns = 10 * kMillisecond;
            next.attached_ns = 12 * kMillisecond;
            next.attempts = 2;
            next.held_us = 1500;
        });
        return at;
    }
    End how(Outcome outcome) const {
        return {outcome, 20 * kMillisecond, "GET /a?b=c HTTP/1.1\r\nHost: b\r\n\r\n", 5};
    }
    void end(std::uint64_t id) {
        counting.end(begin(id), 1, how(Outcome::Success), [](Exchange&) {});
    }
};

TEST(BlackBox, TellsAnEndedRequestAsItWas) {
    Box memory;
    const ExchangeAt at = memory.begin(8);
    commit(at, [](Exchange& next) {
        Exchange first = next;
        first.slot = 19;
        first.generation = 2;
        first.attached_ns = 11 * kMillisecond;
        note_try(first, wire::TryEnd::Lost, 12 * kMillisecond);
        next.tries = first.tries;
        std::copy(std::begin(first.ended_tries), std::end(first.ended_tries), next.ended_tries);
    });
    memory.counting.end(at, 1, memory.how(Outcome::Success), [](Exchange&) {});
    wire::RequestRecord told;
    ASSERT_TRUE(memory.counters->box.read(0, told));
    EXPECT_EQ(told.id.high, 8U);
    EXPECT_STREQ(told.target, "GET /a?b=c");
    EXPECT_EQ(told.begun, 10 * kMillisecond);
    EXPECT_EQ(told.ended, 20 * kMillisecond);
    EXPECT_EQ(told.attached_us, 2000U);
    EXPECT_EQ(told.held_us, 1500U);
    EXPECT_EQ(told.at.slot, 20U);
    EXPECT_EQ(told.service, 5U);
    EXPECT_EQ(told.status, 200U);
    EXPECT_EQ(told.flags, wire::kRequestCallerProved);
    ASSERT_EQ(told.tries, 1U);
    EXPECT_EQ(told.ended_tries[0].slot, 19U);
    EXPECT_EQ(told.ended_tries[0].took_us, 1000U);
    EXPECT_EQ(told.ended_tries[0].end, wire::TryEnd::Lost);
    EXPECT_FALSE(memory.counters->box.read(1, told));
}

// Only what most requests have is written of each: behind it stands what a longer one left.
TEST(BlackBox, NothingOfALongerOneShowsBehindAShorterOne) {
    Box memory;
    End how = memory.how(Outcome::Refused);
    how.why = "H1-CL-DUP";
    for (std::uint64_t id = 0; id < kBoxKept; ++id)
        memory.counting.end(memory.begin(id), 1, how, [](Exchange&) {});
    memory.end(kBoxKept);
    wire::RequestRecord told;
    ASSERT_TRUE(memory.counters->box.read(kBoxKept - 1, told));
    EXPECT_STREQ(told.why, "H1-CL-DUP");
    ASSERT_TRUE(memory.counters->box.read(kBoxKept, told));
    EXPECT_STREQ(told.why, "");
}

TEST(BlackBox, KeepsTheFirstTriesAndTheNewest) {
    Exchange exchange{};
    for (std::uint32_t slot = 1; slot <= 5; ++slot) {
        exchange.slot = slot;
        note_try(exchange, wire::TryEnd::Refused, kMillisecond);
    }
    EXPECT_EQ(exchange.tries, 5U);
    EXPECT_EQ(exchange.ended_tries[0].slot, 1U);
    EXPECT_EQ(exchange.ended_tries[1].slot, 2U);
    EXPECT_EQ(exchange.ended_tries[2].slot, 5U);
}

TEST(BlackBox, GoesBackAsFarAsItHasRoom) {
    Box memory;
    const BlackBox& box = memory.counters->box;
    for (std::uint64_t id = 0; id < kBoxKept + 10; ++id) memory.end(id);
    wire::RequestRecord told;
    EXPECT_EQ(box.first(), 11U);
    EXPECT_FALSE(box.read(10, told));
    ASSERT_TRUE(box.read(11, told));
    EXPECT_EQ(told.id.high, 11U);
    ASSERT_TRUE(box.read(kBoxKept + 9, told));
    EXPECT_EQ(told.id.high, kBoxKept + 9);
}

// It is written before the commit, and there is none of it before that.
TEST(BlackBox, AKillBeforeTheCommitLeavesNoRecord) {
    Box memory;
    memory.end(1);
    memory.counters->box.put(
        record_of(current(memory.begin(2)), Caller::NotAsked, memory.how(Outcome::Success)));
    Counting(*memory.counters).recover(memory.records);
    wire::RequestRecord told;
    EXPECT_FALSE(memory.counters->box.read(1, told));
    memory.end(3);
    ASSERT_TRUE(memory.counters->box.read(1, told));
    EXPECT_EQ(told.id.high, 3U);
}

TEST(BlackBox, AKillAfterTheCommitLosesNoRecord) {
    Box memory;
    Redo undone{};
    memory.counting.end(memory.begin(1), 1, memory.how(Outcome::Success),
                        [&](Exchange&) { undone = memory.counters->redo; });
    ASSERT_NE(undone.count, 0U);
    memory.counters->box.written = 0;
    memory.counters->redo = undone;
    Counting(*memory.counters).recover(memory.records);
    wire::RequestRecord told;
    ASSERT_TRUE(memory.counters->box.read(0, told));
    EXPECT_EQ(told.id.high, 1U);
}

// Each record has one id all over: a mixture of two would show.
TEST(BlackBox, NobodyReadsHalfARecord) {
    auto box = std::make_unique<BlackBox>();
    std::atomic<bool> is_over{false};
    std::thread writer([&] {
        for (std::uint64_t id = 0; id < 20 * kBoxKept; ++id) {
            wire::RequestRecord record{};
            record.id = {id, id};
            record.begun = record.ended = static_cast<std::int64_t>(id);
            record.bytes_out = id;
            box->put(record);
            box->written.store(id + 1, std::memory_order_release);
        }
        is_over = true;
    });
    std::uint64_t read = 0;
    while (!is_over || read == 0) {
        // The oldest: the writer is just about to be there.
        const std::uint64_t at = box->first();
        wire::RequestRecord record;
        if (!box->read(at, record)) continue;
        ++read;
        EXPECT_EQ(record.id.high, at);
        EXPECT_EQ(record.id.low, at);
        EXPECT_EQ(record.ended, static_cast<std::int64_t>(at));
        EXPECT_EQ(record.bytes_out, at);
    }
    writer.join();
}

TEST(Counting, ARouteCountsWhatWasTriedAgainAndWhatWaited) {
    Box memory;
    memory.end(1);
    const ExchangeAt at = memory.begin(2);
    commit(at, [](Exchange& next) {
        next.attempts = 1;
        next.flags = kHeld;
        next.held_us = 9000;
    });
    memory.counting.end(at, 1, memory.how(Outcome::Success), [](Exchange&) {});
    const RouteCounters* const route =
        std::find_if(std::begin(memory.counters->routes), std::end(memory.counters->routes),
                     [](const RouteCounters& each) { return each.is_used != 0; });
    EXPECT_EQ(route->retried.load(), 1U);
    EXPECT_EQ(route->held.load(), 1U);
    EXPECT_EQ(route->added_wait_max_us.load(), 9000U);
}

}  // namespace
}  // namespace thole::edge
