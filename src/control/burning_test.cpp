// When faults on purpose end because a service burns its budget.
#include "control/burning.h"

#include <gtest/gtest.h>

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kThreeNines = 1000;  // Of a million.

class BurningTest : public ::testing::Test {
protected:
    // So many more, within 100 ms each look.
    void pass(Duration time, std::uint64_t asked, std::uint64_t failed) {
        const Time end = now_ + time;
        while (now_ < end) {
            now_ += 100ms;
            totals_.asked += asked;
            totals_.failed += failed;
            burning_.look(now_, totals_);
        }
    }
    bool burns(std::int64_t allowed = kThreeNines) { return burning_.burn(allowed).has_value(); }

    Burning burning_;
    Time now_{};
    Served totals_;
};

TEST_F(BurningTest, AFewErrorsEndNothing) {
    EXPECT_FALSE(burns());
    pass(1s, 1, 0);
    pass(100ms, 1, 1);
    EXPECT_FALSE(burns()) << "one";
    pass(800ms, 1, 1);
    EXPECT_FALSE(burns()) << "nine in a second, of nineteen";
    pass(100ms, 1, 1);
    EXPECT_TRUE(burns()) << "ten";
}

TEST_F(BurningTest, OnlyWhatBurnsManyTimesTooFast) {
    pass(10s, 1000, 14);
    EXPECT_FALSE(burns()) << "1.4 %";
    pass(10s, 1000, 15);
    EXPECT_TRUE(burns()) << "1.5 %";
    EXPECT_FALSE(burns(10'000)) << "of 1 % allowed it is little";
}

TEST_F(BurningTest, WhatHasPassedEndsNothing) {
    pass(2s, 10, 5);
    EXPECT_TRUE(burns());
    pass(900ms, 10, 0);
    EXPECT_TRUE(burns());
    pass(200ms, 10, 0);
    EXPECT_FALSE(burns()) << "a second without an error";
    pass(100ms, 10, 2);
    EXPECT_TRUE(burns()) << "it goes on";
    pass(11s, 10, 0);
    pass(100ms, 10, 5);
    EXPECT_FALSE(burns()) << "of the first ten seconds nothing is left";
}

TEST_F(BurningTest, WhatWasBeforeTheFirstLookCountsForNothing) {
    totals_ = {1'000'000, 900'000};
    pass(1s, 10, 0);
    EXPECT_FALSE(burns());
    totals_ = {1000, 500};
    burning_.look(now_ += 100ms, totals_);
    EXPECT_FALSE(burns()) << "an edge that counts anew";
    pass(1s, 10, 5);
    EXPECT_TRUE(burns());
}

TEST_F(BurningTest, AGenerousBudgetBurnsWhereHalfFails) {
    pass(2s, 100, 40);
    EXPECT_FALSE(burns(100'000));
    pass(20s, 100, 60);
    EXPECT_TRUE(burns(100'000));
}

TEST_F(BurningTest, SaysHowFastAndOfHowMany) {
    pass(100ms, 100, 0);
    pass(10s, 6, 0);
    EXPECT_EQ(words_of(Burn{60, 12, 10s}, kThreeNines),
              "burned its budget 200 times too fast (12 of 60 failed in 10 s; allowed 0.1 %)");
    pass(10s, 2, 1);
    ASSERT_TRUE(burns());
    EXPECT_EQ(burning_.burn(kThreeNines)->within, 10s);
    EXPECT_EQ(burning_.burn(kThreeNines)->failed, 100U);
    EXPECT_EQ(burning_.burn(kThreeNines)->asked, 200U);
}

}  // namespace
}  // namespace thole::control
