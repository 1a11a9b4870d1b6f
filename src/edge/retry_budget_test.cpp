// The retry budget: what fails is not asked into the ground, and what is seldom asked is retried.
#include <gtest/gtest.h>

#include <vector>

#include "edge/retry_budget.h"

#include "edge/test_times.h"

namespace thole::edge {
namespace {

// Requests and attempts of a service that answers each with 503 after this long.
struct Asked {
    std::uint64_t requests = 0;
    std::uint64_t attempts = 0;
};

Asked all_fail(RetryBudget& budget, std::int64_t from_ns, std::int64_t for_ns, std::int64_t gap_ns,
               std::int64_t answer_ns) {
    Random random(7);
    struct Try {
        std::int64_t ends_ns;
        std::uint32_t retries;
    };
    std::vector<Try> open;
    Asked asked;
    std::int64_t next_ns = from_ns;
    for (std::int64_t now = from_ns; now < from_ns + for_ns; now += kMillisecond / 4) {
        while (next_ns <= now) {
            budget.request(now);
            ++asked.requests;
            ++asked.attempts;
            open.push_back({now + answer_ns, 0});
            next_ns += gap_ns;
        }
        for (std::size_t i = 0; i < open.size();) {
            if (open[i].ends_ns > now) {
                ++i;
                continue;
            }
            const std::uint32_t retries = open[i].retries;
            open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
            std::uint32_t retrying = 0;
            for (const Try& other : open) retrying += other.retries > 0 ? 1U : 0U;
            const auto in_flight = static_cast<std::uint32_t>(open.size()) + 1;
            if (retries >= 3 || !budget.take(now, in_flight, retrying)) continue;
            ++asked.attempts;
            const std::int64_t pause = *retry_pause_ns(retries + 1, "", random);
            open.push_back({now + pause + answer_ns, retries + 1});
        }
    }
    return asked;
}

// A service that is overloaded answers 503, is asked again by everybody, and never gets up.
TEST(RetryBudget, WhereEverythingFailsTheServiceSeesAFifthMoreAtMost) {
    for (const std::int64_t answer : {kMillisecond / 2, kMillisecond, 100 * kMillisecond}) {
        RetryBudget budget;
        const Asked asked = all_fail(budget, 0, 10 * kSecond, kMillisecond, answer);
        EXPECT_EQ(asked.requests, 10'000U);
        EXPECT_LE(asked.attempts * 10, asked.requests * 12) << answer;
        EXPECT_GE(asked.attempts * 100, asked.requests * 105) << answer;
    }
}

// What was saved up while all went well must not come on top.
TEST(RetryBudget, AlsoWhereAllWentWellForAnHour) {
    RetryBudget budget;
    std::int64_t now = 0;
    for (; now < 3600 * kSecond; now += 10 * kMillisecond) budget.request(now);
    const Asked asked = all_fail(budget, now, 2 * kSecond, kMillisecond, kMillisecond);
    EXPECT_LE(asked.attempts * 10, asked.requests * 12);
}

// A service that is asked once a second and fails now and then would never have a token.
TEST(RetryBudget, WhoIsSeldomAskedIsRetriedAllTheSame) {
    RetryBudget budget;
    budget.request(0);
    // What a start has is what is saved at most: the first failures after it are no storm.
    for (int saved = 0; saved < 10; ++saved) EXPECT_TRUE(budget.take(0, 1, 0)) << saved;
    EXPECT_FALSE(budget.take(0, 1, 0));
    for (std::int64_t second = 1; second <= 60; ++second) {
        budget.request(second * kSecond);
        EXPECT_TRUE(budget.take(second * kSecond, 1, 0)) << second;
    }
}

TEST(RetryBudget, ARestIsNotSavedUpForAStorm) {
    RetryBudget budget;
    budget.request(0);
    int taken = 0;
    while (taken < 100 && budget.take(3600 * kSecond, 1000, 0)) ++taken;
    EXPECT_EQ(taken, 10);
}

// A thousand that hang must not be a thousand more that hang.
TEST(RetryBudget, AtOneTimeThreeOrAFifthOfWhatIsInFlight) {
    RetryBudget budget;
    for (int i = 0; i < 1000; ++i) budget.request(0);
    EXPECT_TRUE(budget.take(0, 1, 2));
    EXPECT_FALSE(budget.take(0, 1, 3));
    EXPECT_FALSE(budget.take(0, 15, 3));
    EXPECT_TRUE(budget.take(0, 100, 19));
    EXPECT_FALSE(budget.take(0, 100, 20));
}

TEST(RetryPause, DoublesUpToItsLimitAndIsSpread) {
    Random random(3);
    for (const auto& [retry, most_ms] :
         {std::pair{1U, 25}, {2U, 50}, {4U, 200}, {5U, 250}, {4'000'000'000U, 250}}) {
        std::int64_t least = INT64_MAX, most = 0;
        for (int i = 0; i < 1000; ++i) {
            const std::int64_t pause = *retry_pause_ns(retry, "", random);
            least = std::min(least, pause);
            most = std::max(most, pause);
        }
        EXPECT_LT(most, most_ms * kMillisecond) << retry;
        EXPECT_GT(most, most_ms * kMillisecond * 9 / 10) << retry;
        EXPECT_LT(least, most_ms * kMillisecond / 10) << retry;
    }
}

TEST(RetryPause, WhoAsksToBeLeftAloneIs) {
    Random random(3);
    EXPECT_GE(*retry_pause_ns(1, "1", random), kSecond);
    EXPECT_LT(*retry_pause_ns(1, "1", random), kSecond + 25 * kMillisecond);
    EXPECT_LT(*retry_pause_ns(1, "0", random), 25 * kMillisecond);
    for (const char* const long_or_unclear :
         {"2", "120", "99999999999999999999", "Fri, 31 Dec 1999 23:59:59 GMT", "-1", "1s", " "}) {
        EXPECT_FALSE(retry_pause_ns(1, long_or_unclear, random)) << long_or_unclear;
    }
}

}  // namespace
}  // namespace thole::edge
