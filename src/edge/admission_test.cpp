// Admission: a service gets no more than it can take, and those who matter first.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <set>

#include "edge/admission.h"

#include "edge/test_times.h"

namespace thole::edge {
namespace {

TEST(Admission, WhatClientsSayOfTheirPriority) {
    for (const char* const low :
         {"u=6", "u=7", "u=6, i", "i, u=6", "u=1, u=7", "u=6;x=1", " i ,\tu=7 "}) {
        EXPECT_EQ(priority_of(low), Priority::Low) << low;
    }
    for (const char* const normal :
         {"", "u=0", "u=5, i", "i", "u=8", "u=-7", "u=55", "u=", "u", "u=7, u=1", "u=\"7\"", "uu=7",
          "U=7", ",,,", ";u=7", "x;u=7", "u =7"}) {
        EXPECT_EQ(priority_of(normal), Priority::Normal) << normal;
    }
}

TEST(Admission, UpToTheCapAllGoThenTheyWaitThenTheOldestMakesRoom) {
    Load load{.in_flight = 9, .in_flight_max = 10, .waiting_max = 2};
    EXPECT_EQ(admit(load, Priority::Normal), Entry::Admit);
    load.in_flight = 10;
    EXPECT_EQ(admit(load, Priority::Normal), Entry::Queue);
    load.waiting_normal = 2;
    EXPECT_EQ(admit(load, Priority::Normal), Entry::QueueForOldestNormal);
    load.waiting_max = 0;
    load.waiting_normal = 0;
    EXPECT_EQ(admit(load, Priority::Normal), Entry::Refuse);
    // A service that is closed altogether.
    EXPECT_EQ(admit(Load{.waiting_max = 0}, Priority::Low), Entry::Refuse);
}

// A batch job that fills every place would make each user wait for it.
TEST(Admission, LowPriorityLeavesPlacesFreeAndMakesRoomFirst) {
    Load load{.in_flight = 8, .in_flight_max = 10, .waiting_max = 2};
    EXPECT_EQ(admit(load, Priority::Low), Entry::Queue);
    EXPECT_EQ(admit(load, Priority::Normal), Entry::Admit);
    load.waiting_low = 1;
    EXPECT_EQ(admit(load, Priority::Normal), Entry::Admit) << "who is low may be overtaken";
    load = {.in_flight = 10,
            .in_flight_max = 10,
            .waiting_normal = 1,
            .waiting_low = 1,
            .waiting_max = 2};
    EXPECT_EQ(admit(load, Priority::Normal), Entry::QueueForOldestLow);
    EXPECT_EQ(admit(load, Priority::Low), Entry::Refuse);
    load.longest_wait_ns = kSecond;
    EXPECT_EQ(admit(load, Priority::Low), Entry::QueueForOldestLow);
    // One place is there for low ones also where the cap is one.
    EXPECT_EQ(admit({.in_flight = 0, .in_flight_max = 1, .waiting_max = 1}, Priority::Low),
              Entry::Admit);
}

TEST(Admission, NobodyOvertakesOneOfItsOwnKindThatWaits) {
    const Load load{.in_flight = 3, .in_flight_max = 10, .waiting_normal = 1, .waiting_max = 5};
    EXPECT_EQ(admit(load, Priority::Normal), Entry::Queue);
    EXPECT_EQ(admit(load, Priority::Low), Entry::Queue);
}

TEST(Admission, TheOldestGoesFirstAndUnderOverloadTheNewest) {
    Load load{.in_flight = 5,
              .in_flight_max = 10,
              .waiting_normal = 3,
              .waiting_low = 3,
              .waiting_max = 9};
    load.longest_wait_ns = 50 * kMillisecond;
    EXPECT_EQ(next(load), Next::OldestNormal);
    load.longest_wait_ns = 101 * kMillisecond;
    EXPECT_EQ(next(load), Next::NewestNormal);
    load.waiting_normal = 0;
    EXPECT_EQ(next(load), Next::NewestLow);
    load.in_flight = 8;
    EXPECT_EQ(next(load), Next::Nobody);
    load.in_flight = 10;
    load.waiting_normal = 1;
    EXPECT_EQ(next(load), Next::Nobody);
}

TEST(Admission, WhoIsRefusedIsToldWhenToComeAgainAndNotAllAtOnce) {
    Random random(1);
    std::set<std::uint32_t> told;
    const Load load{.in_flight = 10, .in_flight_max = 10, .waiting_normal = 99, .waiting_max = 99};
    for (int i = 0; i < 100; ++i) told.insert(retry_after_seconds(load, 1'000'000, random));
    EXPECT_GE(*told.begin(), 10U);
    EXPECT_LE(*told.rbegin(), 18U);
    EXPECT_GT(told.size(), 3U);
    for (int i = 0; i < 100; ++i) {
        EXPECT_LE(retry_after_seconds(load, 4'000'000'000, random), 30U);
        EXPECT_GE(retry_after_seconds(Load{}, 0, random), 1U);
        EXPECT_LE(retry_after_seconds(Load{}, 0, random), 2U);
    }
    EXPECT_FALSE(has_waited_too_long(4 * kSecond));
    EXPECT_TRUE(has_waited_too_long(5 * kSecond));
}

// Twice as many as the service can take, for a minute; clients leave after two seconds. In order of
// arrival each would wait until just before its client has left, and hardly any answer would
// arrive.
TEST(Admission, UnderTwiceItsLoadAServiceStillAnswersWhatItCanInTime) {
    struct Waits {
        std::int64_t since_ns;
    };
    std::deque<Waits> queue[2];
    std::deque<std::int64_t> ends;
    Random random(3);
    constexpr std::uint32_t kCap = 10;
    constexpr std::int64_t kTakes = 50 * kMillisecond;  // 200 a second.
    int in_time[2] = {}, asked[2] = {};
    std::size_t longest = 0;
    for (std::int64_t now = kSecond; now < 61 * kSecond; now += kMillisecond) {
        const auto load = [&] {
            std::int64_t wait = 0;
            for (const auto& part : queue) {
                if (!part.empty()) wait = std::max(wait, now - part.front().since_ns);
            }
            return Load{static_cast<std::uint32_t>(ends.size()),
                        kCap,
                        static_cast<std::uint32_t>(queue[0].size()),
                        static_cast<std::uint32_t>(queue[1].size()),
                        1024,
                        wait};
        };
        const auto go = [&](int kind, std::int64_t since) {
            ends.push_back(now + kTakes);
            in_time[kind] += now + kTakes - since <= 2 * kSecond ? 1 : 0;
        };
        while (!ends.empty() && ends.front() <= now) ends.pop_front();
        for (auto& part : queue) {
            while (!part.empty() && has_waited_too_long(now - part.front().since_ns))
                part.pop_front();
        }
        for (Next turn; (turn = next(load())) != Next::Nobody;) {
            const int kind = turn == Next::OldestLow || turn == Next::NewestLow ? 1 : 0;
            const bool is_oldest = turn == Next::OldestNormal || turn == Next::OldestLow;
            auto& part = queue[kind];
            go(kind, is_oldest ? part.front().since_ns : part.back().since_ns);
            is_oldest ? part.pop_front() : part.pop_back();
        }
        if (!random.chance(0.4)) continue;
        const int kind = random.chance(0.25) ? 1 : 0;
        ++asked[kind];
        switch (admit(load(), kind == 1 ? Priority::Low : Priority::Normal)) {
            case Entry::Admit: go(kind, now); break;
            case Entry::QueueForOldestLow:
                queue[1].pop_front();
                queue[kind].push_back({now});
                break;
            case Entry::QueueForOldestNormal:
                queue[0].pop_front();
                queue[kind].push_back({now});
                break;
            case Entry::Queue: queue[kind].push_back({now}); break;
            case Entry::Refuse: break;
        }
        longest = std::max(longest, queue[0].size() + queue[1].size());
    }
    EXPECT_GT(in_time[0] + in_time[1], 200 * 60 * 85 / 100) << "of 12 000 that it can do";
    EXPECT_GT(in_time[0] * asked[1], 10 * in_time[1] * asked[0]) << "the others come first";
    EXPECT_LE(longest, 1024U);
}

}  // namespace
}  // namespace thole::edge
