// How long a pause still lasts for a control that begins.
#include "control/pauses.h"

#include <gtest/gtest.h>

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr WallTime kSince = wall_from_nanoseconds(1'000'000'000'000);

model::PauseRow paused_for(Duration limit) {
    return {.service = 1, .since = kSince, .limit_ns = limit.count(), .author = "root"};
}

TEST(Pauses, WhatPassedWithoutControlCounts) {
    EXPECT_EQ(left_of(paused_for(30s), kSince), 30s);
    EXPECT_EQ(left_of(paused_for(30s), kSince + 10s), 20s);
    EXPECT_EQ(left_of(paused_for(30s), kSince + 30s), 0s);
    EXPECT_EQ(left_of(paused_for(30s), kSince + 1h), 0s);
}

TEST(Pauses, AClockThatWasSetBackProlongsNoneByMoreThanItsLength) {
    EXPECT_EQ(left_of(paused_for(30s), kSince - 8760h), 30s);
}

}  // namespace
}  // namespace thole::control
