// Balancing by load, on simulated endpoints: who is slow, hangs, fails or starts gets little.
#include <gtest/gtest.h>

#include <algorithm>
#include <queue>
#include <vector>

#include "edge/balance.h"
#include "edge/ejection.h"
#include "edge/test_times.h"

namespace thole::edge {
namespace {

struct Share {
    std::uint64_t asked = 0;
    std::vector<std::uint64_t> of;
    std::vector<std::int64_t> took_ns;

    double percent(std::size_t endpoint) const {
        return 100.0 * static_cast<double>(of[endpoint]) / static_cast<double>(asked);
    }
    std::int64_t p99() {
        std::sort(took_ns.begin(), took_ns.end());
        return took_ns.empty() ? 0 : took_ns[took_ns.size() * 99 / 100];
    }
};

// Two workers with their own views, requests at random instants, and endpoints that answer after
// their time, half of it more or less; one that hangs never does, and is given up after a limit.
class Fleet {
public:
    Fleet(std::vector<std::int64_t> usual, double rate, std::uint64_t seed)
        : usual_ns(std::move(usual)),
          fails(usual_ns.size(), 0),
          since(usual_ns.size(), 0),
          health(usual_ns.size()),
          totals(usual_ns.size()),
          rate_(rate),
          random_(seed) {
        for (auto& views : views_) views.resize(usual_ns.size());
    }

    Share run(std::int64_t for_ns) {
        Share share{0, std::vector<std::uint64_t>(usual_ns.size()), {}};
        const std::int64_t step = kMillisecond / 4;
        for (const std::int64_t end = now_ns + for_ns; now_ns < end; now_ns += step) {
            while (!open_.empty() && open_.top().ends_ns <= now_ns) finish(share);
            double due = rate_ * static_cast<double>(step) / static_cast<double>(kSecond);
            for (; due > 0; due -= 1) {
                if (random_.chance(due)) begin(share);
            }
        }
        return share;
    }

    // The same, judged every 100 ms until this one is out; seconds, or -1.
    double until_out(std::size_t endpoint, std::int64_t limit_ns) {
        for (const std::int64_t from_ns = now_ns; now_ns - from_ns < limit_ns;) {
            run(kSecond / 10);
            std::vector<Judged> judged;
            for (std::size_t i = 0; i < health.size(); ++i)
                judged.push_back({&health[i], totals[i]});
            judge(judged, now_ns);
            if (health[endpoint].is_out != 0) {
                return static_cast<double>(now_ns - from_ns) / static_cast<double>(kSecond);
            }
        }
        return -1;
    }

    static constexpr std::int64_t kHangs = -1;
    static constexpr std::int64_t kLimit = 2 * kSecond;
    std::vector<std::int64_t> usual_ns;
    std::vector<double> fails;
    std::vector<std::int64_t> since;
    std::vector<EndpointHealth> health;
    std::vector<Totals> totals;
    std::int64_t now_ns = kSecond;

private:
    struct Open {
        std::int64_t ends_ns, began_ns;
        std::size_t endpoint, worker;
        bool operator<(const Open& other) const { return ends_ns > other.ends_ns; }
    };
    struct View {
        PeakLatency latency;
        std::uint32_t in_flight = 0;
    };

    void begin(Share& share) {
        const std::size_t worker = random_.below(2);
        std::vector<Candidate> candidates;
        for (std::size_t i = 0; i < usual_ns.size(); ++i) {
            const View& view = views_[worker][i];
            if (health[i].is_out != 0) continue;
            candidates.push_back(
                {.slot = static_cast<std::uint32_t>(i),
                 .in_flight = view.in_flight,
                 .latency_us = view.latency.us(now_ns),
                 .weight = slow_start_weight(now_ns, std::max(since[i], health[i].back_ns))});
        }
        const std::size_t at = candidates[choose(candidates, random_)].slot;
        ++share.asked;
        ++share.of[at];
        const std::int64_t usual = usual_ns[at];
        const std::int64_t takes =
            usual == kHangs
                ? kLimit
                : usual / 2 +
                      static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(usual)));
        ++views_[worker][at].in_flight;
        views_[worker][at].latency.began(now_ns);
        open_.push({now_ns + takes, now_ns, at, worker});
    }

    void finish(Share& share) {
        const Open done = open_.top();
        open_.pop();
        View& view = views_[done.worker][done.endpoint];
        --view.in_flight;
        const std::int64_t took = now_ns - done.began_ns;
        share.took_ns.push_back(took);
        if (usual_ns[done.endpoint] == kHangs) {
            ++totals[done.endpoint].timeouts;
            view.latency.failed(now_ns, took);
        } else if (random_.chance(fails[done.endpoint])) {
            ++totals[done.endpoint].failures;
            view.latency.failed(now_ns, took);
        } else {
            ++totals[done.endpoint].successes;
            view.latency.answered(now_ns, took);
        }
    }

    double rate_;
    Random random_;
    std::vector<View> views_[2];
    std::priority_queue<Open> open_;
};

// One instance swaps, or compiles, or has a cold disk: a third of all requests waits for it.
TEST(Balance, ATenTimesSlowerOneGetsLittleAndTheSlowestRequestsAreAsQuickAsBefore) {
    for (const double rate : {20.0, 200.0, 1000.0}) {
        Fleet healthy({5 * kMillisecond, 5 * kMillisecond, 5 * kMillisecond}, rate, 1);
        healthy.run(10 * kSecond);
        const std::int64_t usual = healthy.run(60 * kSecond).p99();
        Fleet fleet({50 * kMillisecond, 5 * kMillisecond, 5 * kMillisecond}, rate, 1);
        EXPECT_LT(fleet.run(10 * kSecond).percent(0), 15) << rate;
        Share share = fleet.run(60 * kSecond);
        EXPECT_LT(share.percent(0), 5) << rate;
        EXPECT_GT(share.of[0], 0U) << "nobody would see that it has become quick";
        EXPECT_LE(share.p99(), 2 * usual) << rate;
    }
}

TEST(Balance, WhoHangsGetsLittleLongBeforeItsFirstTimeOut) {
    for (const double rate : {20.0, 200.0, 1000.0}) {
        Fleet fleet({5 * kMillisecond, 5 * kMillisecond, 5 * kMillisecond}, rate, 1);
        fleet.run(10 * kSecond);
        fleet.usual_ns[0] = Fleet::kHangs;
        EXPECT_LT(fleet.run(kSecond).percent(0), rate > 20 ? 5 : 20) << rate;
        EXPECT_LT(fleet.run(9 * kSecond).percent(0), 5) << rate;
    }
}

TEST(Balance, OneOfTwoThatHangsToo) {
    Fleet fleet({5 * kMillisecond, 5 * kMillisecond}, 100, 1);
    fleet.run(10 * kSecond);
    fleet.usual_ns[0] = Fleet::kHangs;
    EXPECT_LT(fleet.run(10 * kSecond).percent(0), 5);
}

// The quickest answer is a refusal.
TEST(Balance, WhoFailsAtOnceDoesNotDrawAllToItself) {
    Fleet fleet({5 * kMillisecond, 5 * kMillisecond, 5 * kMillisecond}, 200, 1);
    fleet.run(10 * kSecond);
    fleet.usual_ns[0] = kMillisecond / 10;
    fleet.fails[0] = 1;
    EXPECT_LT(fleet.run(10 * kSecond).percent(0), 45);
}

// Who fails is not drawn more seldom for it: else it would never be seen to be bad enough.
TEST(Balance, WhoFailsAThirdIsStillSeenAndOutWithinFiveSeconds) {
    int late = 0;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        Fleet fleet({5 * kMillisecond, 5 * kMillisecond, 5 * kMillisecond}, 50, seed);
        EXPECT_EQ(fleet.until_out(0, 20 * kSecond), -1);
        fleet.fails[0] = 0.3;
        const double seconds = fleet.until_out(0, 20 * kSecond);
        late += seconds < 0 || seconds >= 5 ? 1 : 0;
    }
    EXPECT_LE(late, 5) << "of 50";
}

TEST(Balance, WhoReturnsToItsOldSpeedGetsItsShareAgain) {
    Fleet fleet({50 * kMillisecond, 5 * kMillisecond, 5 * kMillisecond}, 200, 1);
    fleet.run(20 * kSecond);
    fleet.usual_ns[0] = 5 * kMillisecond;
    fleet.run(60 * kSecond);
    EXPECT_GT(fleet.run(60 * kSecond).percent(0), 20);
}

TEST(Balance, ANewOneStartsWithLittleAndGetsItsShareWithinTenSeconds) {
    for (const std::size_t others : {1U, 2U}) {
        Fleet fleet(std::vector<std::int64_t>(1 + others, 5 * kMillisecond), 500, 1);
        fleet.since[0] = fleet.now_ns;
        const double fair = 100.0 / static_cast<double>(1 + others);
        EXPECT_LT(fleet.run(kSecond).percent(0), fair / 2);
        fleet.run(10 * kSecond);
        EXPECT_NEAR(fleet.run(20 * kSecond).percent(0), fair, fair / 3);
    }
}

// After a restart of a whole service: that all are new says nothing about which is the slower one.
TEST(Balance, WhereAllStartAtOnceTheSlowerOneGetsLittleFromTheBeginning) {
    Fleet fleet({50 * kMillisecond, 5 * kMillisecond, 5 * kMillisecond}, 200, 1);
    fleet.since = {fleet.now_ns, fleet.now_ns, fleet.now_ns};
    fleet.run(kSecond);
    EXPECT_LT(fleet.run(8 * kSecond).percent(0), 5);
}

TEST(Balance, TheWeightGrowsEvenlyFromATenth) {
    EXPECT_EQ(slow_start_weight(5, 0), 1000U);
    EXPECT_EQ(slow_start_weight(5, 5), 100U);
    EXPECT_EQ(slow_start_weight(5, 6), 100U);
    EXPECT_EQ(slow_start_weight(kSecond * 5 + 1, 1), 500U);
    EXPECT_EQ(slow_start_weight(kSecond * 10 + 1, 1), 1000U);
}

TEST(Balance, SharesFollowTheWeightsAndNoneIsOnlyDrawnWhereAllHaveNone) {
    Random random(1);
    std::vector<Candidate> three(3);
    three[2].weight = 100;
    std::uint64_t drawn = 0;
    for (int i = 0; i < 21'000; ++i) drawn += choose(three, random) == 2 ? 1U : 0U;
    EXPECT_NEAR(static_cast<double>(drawn), 1000, 150);
    three[2].weight = 0;
    for (int i = 0; i < 1000; ++i) EXPECT_NE(choose(three, random), 2U);
    for (Candidate& candidate : three) candidate.weight = 0;
    drawn = 0;
    for (int i = 0; i < 3000; ++i) drawn += choose(three, random) == 2 ? 1U : 0U;
    EXPECT_NEAR(static_cast<double>(drawn), 1000, 150);
}

TEST(Balance, APenaltyCountsLikeLoad) {
    Random random(1);
    const std::vector<Candidate> two = {
        {.slot = 0, .in_flight = 1, .latency_us = 100, .penalty = 5},
        {.slot = 1, .in_flight = 4, .latency_us = 100}};
    for (int i = 0; i < 100; ++i) EXPECT_EQ(choose(two, random), 1U);
}

TEST(PeakLatency, RisesAtOnceAndFallsSlowly) {
    PeakLatency latency;
    EXPECT_EQ(latency.us(0), 0U);
    std::int64_t now = kSecond;
    for (int i = 0; i < 100; ++i, now += 10 * kMillisecond) {
        latency.began(now);
        latency.answered(now, kMillisecond);
    }
    EXPECT_NEAR(latency.us(now), 1000, 10);
    latency.began(now);
    latency.answered(now, 100 * kMillisecond);
    EXPECT_EQ(latency.us(now), 100'000U);
    EXPECT_NEAR(latency.us(now + 10 * kSecond), 40'000, 4000);
    EXPECT_GE(latency.us(now + 10'000 * kSecond), 1U) << "known once is not unknown again";
}

// A pause of its collector is no reason to leave it out for minutes, where one request comes a
// second.
TEST(PeakLatency, OneAnswerThatWasThreeHundredTimesSlowerIsForgottenInAMinute) {
    PeakLatency latency;
    latency.began(kSecond);
    latency.answered(kSecond + 300 * kMillisecond, 300 * kMillisecond);
    EXPECT_GT(latency.us(11 * kSecond), 100'000U);
    EXPECT_LT(latency.us(62 * kSecond), 1'500U);
}

TEST(PeakLatency, SilenceCountsOnlyWhileSomebodyWaits) {
    PeakLatency latency;
    latency.began(kSecond);
    latency.began(kSecond);
    EXPECT_EQ(latency.us(3 * kSecond), 2'000'000U);
    latency.left(3 * kSecond);
    EXPECT_EQ(latency.us(3 * kSecond), 2'000'000U) << "the other one still waits";
    latency.left(3 * kSecond);
    EXPECT_EQ(latency.us(9 * kSecond), 0U);
    EXPECT_EQ(latency.waiting(), 0U);
    latency.left(9 * kSecond);
    EXPECT_EQ(latency.waiting(), 0U) << "told twice";
    // A clock that another worker read a moment later.
    latency.began(10 * kSecond);
    EXPECT_EQ(latency.us(9 * kSecond), 0U);
}

}  // namespace
}  // namespace thole::edge
