// When control helps keeper and watch, who else start each other.
#include "app/keeper_guard.h"

#include <gtest/gtest.h>

namespace thole::app {
namespace {

using Help = Stillness::Help;

constexpr std::int64_t kTurnNs = 250'000'000;
constexpr std::int64_t kSecondNs = 1'000'000'000;

class StillnessTest : public testing::Test {
protected:
    // After how long help comes, in nanoseconds; 0 where it does not within a minute.
    std::int64_t helped(Help wanted, const Stillness::Sight& sight) {
        const std::int64_t began = now_ns_;
        while (now_ns_ - began < 60 * kSecondNs) {
            now_ns_ += kTurnNs;
            const Help help = stillness_.observe(now_ns_, sight);
            if (help == wanted) return now_ns_ - began;
            EXPECT_EQ(help, Help::None);
        }
        return 0;
    }
    void see_both_turn() {
        now_ns_ += kTurnNs;
        ++tick_;
        EXPECT_EQ(stillness_.observe(now_ns_, {true, true, tick_, tick_}), Help::None);
    }
    Stillness stillness_;
    std::int64_t now_ns_ = 100 * kSecondNs;
    std::uint64_t tick_ = 7;
};

TEST_F(StillnessTest, BothGoneForASecondAreStarted) {
    see_both_turn();
    EXPECT_EQ(helped(Help::Start, {false, false, tick_, tick_}), kSecondNs);
    EXPECT_EQ(helped(Help::Start, {false, false, tick_, tick_}), kSecondNs) << "and again";
}

TEST_F(StillnessTest, BothStillForTenSecondsAreContinued) {
    see_both_turn();
    EXPECT_EQ(helped(Help::Continue, {true, true, tick_, tick_}), 10 * kSecondNs);
}

TEST_F(StillnessTest, OneGoneAndTheOtherStillIsContinuedAndNotJoinedByASecond) {
    see_both_turn();
    EXPECT_EQ(helped(Help::Continue, {false, true, tick_, tick_}), 10 * kSecondNs);
    see_both_turn();
    EXPECT_EQ(helped(Help::Continue, {true, false, tick_, tick_}), 10 * kSecondNs);
}

TEST_F(StillnessTest, OneThatTurnsSeesToTheOther) {
    see_both_turn();
    for (int turn = 0; turn < 100; ++turn) {
        now_ns_ += kTurnNs;
        ++tick_;
        const bool is_keeper = turn < 50;
        EXPECT_EQ(stillness_.observe(now_ns_, {is_keeper, !is_keeper, tick_, tick_}), Help::None);
    }
}

TEST_F(StillnessTest, ATurnOfOursThatCameLateProvesNothing) {
    see_both_turn();
    now_ns_ += 3600 * kSecondNs;
    EXPECT_EQ(stillness_.observe(now_ns_, {true, true, tick_, tick_}), Help::None);
    now_ns_ += 3600 * kSecondNs;
    EXPECT_EQ(stillness_.observe(now_ns_, {false, false, tick_, tick_}), Help::None);
}

}  // namespace
}  // namespace thole::app
