#include "recovery/leaving.h"

#include <gtest/gtest.h>

namespace thole::recovery {
namespace {

using namespace std::chrono_literals;

LeavingSeen seen(Duration now) {
    LeavingSeen made;
    made.drain_limit = 30s;
    made.grace = 10s;
    made.now = Time{1h} + now;
    return made;
}

TEST(Leaving, EachOfItsStatesHasAName) {
    EXPECT_EQ(name_of(Removing{}), "removing");
    EXPECT_EQ(name_of(Draining{}), "draining");
    EXPECT_EQ(name_of(Ending{}), "ending");
    EXPECT_EQ(name_of(Cutting{}), "cutting");
    EXPECT_EQ(name_of(Asked{}), "stopping");
    EXPECT_EQ(name_of(AskedRest{}), "stopping");
    EXPECT_EQ(name_of(Killing{}), "killing");
}

// SIGTERM before the acknowledgement would lose requests: this is what a deploy stands on.
TEST(Leaving, NothingIsAskedBeforeTheEdgeHasAcknowledged) {
    for (int second = 0; second < 1000; ++second) {
        LeavingSeen at = seen(std::chrono::seconds(second));
        const LeavingStep step = next(Removing{}, at);
        EXPECT_EQ(step.action, LeavingAction::None);
        EXPECT_TRUE(std::holds_alternative<Removing>(step.next));
    }
}

TEST(Leaving, WithNothingUnderWayItIsAskedAtOnce) {
    LeavingSeen at = seen(0s);
    at.is_acknowledged = true;
    const LeavingStep step = next(Removing{}, at);
    EXPECT_EQ(step.action, LeavingAction::Ask);
    EXPECT_EQ(step.look_again, at.now + 10s);
}

TEST(Leaving, WhatListensNowhereIsAskedAtOnce) {
    LeavingSeen at = seen(0s);
    at.is_routed = false;
    EXPECT_EQ(next(Removing{}, at).action, LeavingAction::Ask);
}

TEST(Leaving, WhatIsUnderWayEndsOrIsCutAtTheDeadline) {
    LeavingSeen at = seen(0s);
    at.is_acknowledged = true;
    at.in_flight = 2;
    LeavingStep step = next(Removing{}, at);
    ASSERT_TRUE(std::holds_alternative<Draining>(step.next));
    EXPECT_EQ(step.look_again, at.now + 15s);

    LeavingSeen ended = at;
    ended.now += 3s;
    ended.in_flight = 0;
    EXPECT_EQ(next(step.next, ended).action, LeavingAction::Ask);

    // For half of the time nothing is done to it; what would last longer has the other half to end.
    at.now += 15s - 1ns;
    EXPECT_FALSE(next(step.next, at).has_changed);
    at.now += 1ns;
    step = next(step.next, at);
    EXPECT_EQ(step.action, LeavingAction::EndLasting);
    ASSERT_TRUE(std::holds_alternative<Ending>(step.next));
    EXPECT_EQ(step.look_again, at.now + 15s);

    ended.now = at.now + 3s;
    EXPECT_EQ(next(step.next, ended).action, LeavingAction::Ask);

    at.now += 15s - 1ns;
    EXPECT_FALSE(next(step.next, at).has_changed);
    at.now += 1ns;
    step = next(step.next, at);
    EXPECT_EQ(step.action, LeavingAction::Cut);
    // The edge says how many it was, also after the last is gone; or nobody answers for long.
    EXPECT_FALSE(next(step.next, at).has_changed);
    at.in_flight = 0;
    EXPECT_FALSE(next(step.next, at).has_changed);
    at.is_cut = true;
    EXPECT_EQ(next(step.next, at).action, LeavingAction::Ask);
    at.is_cut = false;
    at.now += 1min;
    EXPECT_EQ(next(step.next, at).action, LeavingAction::Ask);
}

// A shell ends at once; the server it started has a request to finish.
TEST(Leaving, WhatTheFirstProcessLeavesIsAskedTooAndHasTheRestOfTheGrace) {
    LeavingSeen at = seen(3s);
    at.has_ended = true;
    const Leaving asked = Asked{at.now + 7s};
    LeavingStep step = next(asked, at);
    EXPECT_EQ(step.action, LeavingAction::AskRest);
    EXPECT_TRUE(step.has_changed);
    EXPECT_EQ(step.look_again, at.now + 7s);
    EXPECT_EQ(next(step.next, at).action, LeavingAction::None) << "asked once";

    at.now += 7s - 1ns;
    EXPECT_EQ(next(step.next, at).action, LeavingAction::None);
    at.now += 1ns;
    EXPECT_EQ(next(step.next, at).action, LeavingAction::End);
}

// What it left may be what serves: it is asked no earlier than its first process would have been.
TEST(Leaving, WhatIsLeftOfOneThatEndedWhileItWasDrainedIsDrained) {
    LeavingSeen at = seen(0s);
    at.has_ended = true;
    EXPECT_EQ(next(Removing{}, at).action, LeavingAction::None);
    at.is_acknowledged = true;
    at.in_flight = 1;
    const LeavingStep draining = next(Removing{}, at);
    EXPECT_EQ(draining.action, LeavingAction::None);
    at.in_flight = 0;
    const LeavingStep step = next(draining.next, at);
    EXPECT_EQ(step.action, LeavingAction::AskRest);
    EXPECT_EQ(step.look_again, at.now + 10s);
}

TEST(Leaving, WhatHadToBeKilledIsOverOnceItsFirstProcessHasEnded) {
    LeavingSeen at = seen(0s);
    at.has_ended = true;
    EXPECT_EQ(next(Killing{at.now + 1s}, at).action, LeavingAction::End);
}

TEST(Leaving, WhatIgnoresSigtermIsKilledAndKilledAgain) {
    LeavingSeen at = seen(0s);
    const Leaving asked = Asked{at.now + 10s};
    EXPECT_EQ(next(asked, at).action, LeavingAction::None);
    at.now += 10s;
    LeavingStep step = next(asked, at);
    EXPECT_EQ(step.action, LeavingAction::Kill);
    EXPECT_TRUE(step.has_changed);
    at.now += 1s;
    step = next(step.next, at);
    EXPECT_EQ(step.action, LeavingAction::Kill);
    EXPECT_FALSE(step.has_changed) << "said once";
}

// A machine that slept takes nobody's time.
TEST(Leaving, PutOffIsTheSameStateLater) {
    const Time until{1h};
    const Time later = until + 20min;
    EXPECT_EQ(std::get<Draining>(put_off(Draining{until}, 20min)).until, later);
    EXPECT_EQ(std::get<Ending>(put_off(Ending{until}, 20min)).until, later);
    EXPECT_EQ(std::get<Cutting>(put_off(Cutting{until}, 20min)).until, later);
    EXPECT_EQ(std::get<Asked>(put_off(Asked{until}, 20min)).until, later);
    EXPECT_EQ(std::get<AskedRest>(put_off(AskedRest{until}, 20min)).until, later);
    EXPECT_EQ(std::get<Killing>(put_off(Killing{until}, 20min)).again, later);
    EXPECT_TRUE(std::holds_alternative<Removing>(put_off(Removing{}, 20min)));
}

}  // namespace
}  // namespace thole::recovery
