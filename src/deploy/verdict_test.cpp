#include "deploy/verdict.h"

#include <gtest/gtest.h>

namespace thole::deploy {
namespace {

TEST(Verdict, DoneOnlyWhenNothingElseRuns) {
    EXPECT_TRUE(std::holds_alternative<GoOn>(verdict_of({})));
    EXPECT_TRUE(std::holds_alternative<Done>(verdict_of({.is_settled = true})));
}

TEST(Verdict, TurnsBackAfterThreeFailuresWhereThereIsSomethingToTurnBackTo) {
    DeploySeen seen{.can_turn_back = true, .failures = 2, .last_failure = "exit status 1"};
    EXPECT_TRUE(std::holds_alternative<GoOn>(verdict_of(seen)));
    seen.failures = 3;
    const Verdict verdict = verdict_of(seen);
    ASSERT_TRUE(std::holds_alternative<TurnBack>(verdict));
    EXPECT_NE(std::get<TurnBack>(verdict).reason.find("exit status 1"), std::string::npos);
    seen.can_turn_back = false;
    EXPECT_TRUE(std::holds_alternative<GoOn>(verdict_of(seen)));
}

}  // namespace
}  // namespace thole::deploy
