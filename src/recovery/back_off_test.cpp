#include "recovery/back_off.h"

#include <gtest/gtest.h>

#include "model/defaults.h"

namespace thole::recovery {
namespace {

using namespace std::chrono_literals;

const model::End kExitOne{.wait_status = 1 << 8};
const model::End kKilled{.wait_status = 9, .is_oom_known = true};
const model::End kOutOfMemory{.wait_status = 9, .oom_kills = 1};

// A crash loop must not become a storm of forks, and a single crash must not cost a wait.
TEST(BackOff, TheFirstIsAtOnceAndThenTheWaitDoublesUpToTheCap) {
    Random random(1);
    Failures failures;
    Time now{1h};
    failures = after_end(failures, {.end = kExitOne}, now, random);
    EXPECT_EQ(failures, (Failures{1, now}));
    Duration most = model::kRestartDelayMin;
    for (int i = 2; i < 20; ++i) {
        failures = after_end(failures, {.end = kExitOne}, now, random);
        const Duration wait = failures.next_start - now;
        EXPECT_GE(wait, most / 2) << i;
        EXPECT_LE(wait, most) << i;
        most = std::min<Duration>(most * 2, model::kRestartDelayMax);
    }
    EXPECT_EQ(most, model::kRestartDelayMax);
}

TEST(BackOff, WhatOthersKillIsNoFailureOfTheService) {
    Random random(1);
    const EndSeen killed{.end = kKilled, .was_ready = true, .ready_for = 1s};
    EXPECT_EQ(after_end({}, killed, Time{1h}, random), Failures{});
    // Before it was ready nobody can tell: somebody may be killing it again and again.
    EXPECT_EQ(after_end({}, {.end = kKilled}, Time{1h}, random).in_row, 1);
    const EndSeen out{.end = kOutOfMemory, .was_ready = true, .ready_for = 1s};
    EXPECT_EQ(after_end({}, out, Time{1h}, random).in_row, 1);
}

// `kill -9 $$` as soon as it is ready would else go round for ever, a few times a second.
TEST(BackOff, WhoIsKilledAsSoonAsItIsReadyIsForgivenOnceInAWhile) {
    for (const model::End& end : {kKilled, model::End{.wait_status = 15}}) {
        Random random(1);
        const EndSeen seen{.end = end, .was_ready = true, .ready_for = 50ms};
        Time now{1h};
        Failures failures = after_end({}, seen, now, random);
        EXPECT_EQ(failures.in_row, 0);
        for (int in_row = 1; in_row < 5; ++in_row) {
            now += 200ms;
            failures = after_end(failures, seen, now, random);
            EXPECT_EQ(failures.in_row, in_row);
        }
        EXPECT_GT(failures.next_start, now);
        const Failures later = after_end(failures, seen, now + model::kRecoveredAfter, random);
        EXPECT_EQ(later.in_row, failures.in_row);
    }
}

TEST(BackOff, LongEnoughReadyForgetsWhatWasBefore) {
    Random random(1);
    const Failures before{7, Time{2h}};
    const EndSeen seen{.end = kExitOne, .was_ready = true, .ready_for = model::kRecoveredAfter};
    EXPECT_EQ(after_end(before, seen, Time{1h}, random), (Failures{1, Time{1h}}));
}

TEST(BackOff, WhatWeEndedCountsForNothing) {
    Random random(1);
    const Failures before{3, Time{2h}};
    EXPECT_EQ(after_end(before, {.end = kExitOne, .was_asked = true}, Time{1h}, random), before);
}

}  // namespace
}  // namespace thole::recovery
