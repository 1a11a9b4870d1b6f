#include "recovery/keep_ready.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace thole::recovery {
namespace {

using model::Stage;

constexpr model::Version kOld{1, 0};
constexpr model::Version kNew{2, 0};
constexpr model::Version kNewest{3, 0};
constexpr Time kNow{std::chrono::hours(1)};
constexpr Time kLater{std::chrono::hours(2)};

// A service whose instances do what the plan says, at moments that are drawn.
class Stand {
public:
    explicit Stand(std::uint64_t seed) : random_(seed) {}

    int ready() const {
        return static_cast<int>(std::count_if(instances.begin(), instances.end(), [](auto& each) {
            return each.stage == Stage::Ready;
        }));
    }
    int running(model::Version version) const {
        return static_cast<int>(std::count_if(instances.begin(), instances.end(),
                                              [&](auto& each) { return each.version == version; }));
    }
    int staying() const {
        return static_cast<int>(std::count_if(instances.begin(), instances.end(), [](auto& each) {
            return each.stage != Stage::Leaving;
        }));
    }
    Plan turn() {
        const Plan made = plan({.count = count,
                                .is_single = is_single,
                                .current = current,
                                .proven = proven,
                                .next_start = next_start,
                                .next_fill = next_fill,
                                .keeps_proven = keeps_proven,
                                .now = kNow,
                                .instances = instances});
        for (const model::InstanceId& id : made.end) {
            for (model::InstanceSeen& each : instances) {
                if (each.id == id) each.stage = Stage::Leaving;
            }
        }
        for (const model::Version& version : made.start)
            instances.push_back({{next_++, 1}, version, Stage::Starting, Time{}});
        return made;
    }
    // One of them gets ready, or ends where it was asked to.
    void something_happens(bool new_ones_fail) {
        if (instances.empty()) return;
        const std::size_t at = random_.below(instances.size());
        model::InstanceSeen& each = instances[at];
        if (each.stage == Stage::Starting && !(new_ones_fail && each.version == kNew)) {
            each.stage = Stage::Ready;
        } else if (each.stage != Stage::Ready) {
            instances.erase(instances.begin() + static_cast<std::ptrdiff_t>(at));
        }
    }
    void one_dies() {
        if (instances.empty()) return;
        const std::size_t at = random_.below(instances.size());
        instances.erase(instances.begin() + static_cast<std::ptrdiff_t>(at));
    }

    int count = 3;
    bool is_single = false;
    bool keeps_proven = false;
    model::Version current = kOld;
    model::Version proven{};
    Time next_start{};
    Time next_fill{};
    std::vector<model::InstanceSeen> instances;

private:
    Random random_;
    std::uint32_t next_ = 1000;
};

TEST(KeepReady, AllStartAtOnceWhereNothingRan) {
    Stand stand(1);
    EXPECT_EQ(stand.turn().start.size(), 3U);
    EXPECT_TRUE(stand.turn().start.empty());
    for (model::InstanceSeen& each : stand.instances) each.stage = Stage::Ready;
    EXPECT_TRUE(stand.turn().is_settled);
}

TEST(KeepReady, WaitsForTheBackOff) {
    const Plan made = plan({.count = 2,
                            .current = kOld,
                            .next_start = Time{std::chrono::seconds(5)},
                            .now = Time{std::chrono::seconds(4)}});
    EXPECT_TRUE(made.start.empty());
    EXPECT_EQ(made.look_again, Time{std::chrono::seconds(5)});
}

// A rolling replacement must never serve with fewer than was promised, and must end.
TEST(KeepReady, AReplacementNeverServesWithFewerAndAlwaysEnds) {
    for (std::uint64_t seed = 1; seed <= 500; ++seed) {
        Stand stand(seed);
        stand.count = 1 + static_cast<int>(seed % 5);
        stand.proven = kOld;
        for (int i = 0; i < stand.count; ++i)
            stand.instances.push_back(
                {{100U + static_cast<std::uint32_t>(i), 1}, kOld, Stage::Ready, {}});
        stand.current = kNew;
        bool is_settled = false;
        for (int step = 0; step < 2000 && !is_settled; ++step) {
            is_settled = stand.turn().is_settled;
            ASSERT_GE(stand.ready(), stand.count) << "seed " << seed << " step " << step;
            ASSERT_LE(stand.running(kNew), stand.count) << "seed " << seed;
            stand.something_happens(false);
        }
        EXPECT_TRUE(is_settled) << "seed " << seed;
        EXPECT_EQ(stand.running(kNew), stand.count);
        EXPECT_EQ(stand.running(kOld), 0);
    }
}

// A release that never gets ready must cost nothing: what serves goes on, and a gap in it is
// filled.
TEST(KeepReady, ANewReleaseThatNeverGetsReadyTakesNothingAway) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        Stand stand(seed);
        stand.proven = kOld;
        for (std::uint32_t i = 0; i < 3; ++i)
            stand.instances.push_back({{100 + i, 1}, kOld, Stage::Ready, {}});
        stand.current = kNew;
        for (int step = 0; step < 300; ++step) {
            stand.turn();
            ASSERT_GE(stand.ready(), 3);
            stand.something_happens(true);
        }
        // One of the old ones dies: another of the old release takes its place.
        std::erase_if(stand.instances, [](const auto& each) { return each.id.slot == 100; });
        stand.turn();
        EXPECT_EQ(stand.running(kOld), 3) << "seed " << seed;
        // Turning back.
        stand.current = kOld;
        bool is_settled = false;
        for (int step = 0; step < 500 && !is_settled; ++step) {
            is_settled = stand.turn().is_settled;
            ASSERT_GE(stand.ready(), 2);
            stand.something_happens(true);
        }
        EXPECT_TRUE(is_settled);
        EXPECT_EQ(stand.running(kNew), 0);
    }
}

// A new release may be slow to start, or never do: until it serves, somebody must.
TEST(KeepReady, WhereAllThatServedDiesInAReplacementItIsStartedAgain) {
    for (const int count : {1, 3}) {
        Stand stand(1);
        stand.count = count;
        stand.proven = kOld;
        stand.current = kNew;
        for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(count); ++i)
            stand.instances.push_back({{100 + i, 1}, kOld, Stage::Ready, {}});
        stand.turn();
        std::erase_if(stand.instances, [](const auto& each) { return each.version == kOld; });
        stand.turn();
        EXPECT_EQ(stand.running(kOld), count);
        EXPECT_EQ(stand.running(kNew), 1);
        for (model::InstanceSeen& each : stand.instances) {
            const Plan next = stand.turn();
            EXPECT_TRUE(next.start.empty() && next.end.empty()) << count;
            if (each.version == kOld) each.stage = Stage::Ready;
        }
    }
}

// Whoever dies whenever: the new release takes the place of the old one in the end, and meanwhile
// there is one more than should be at most.
TEST(KeepReady, AReplacementEndsWhoeverDiesWhileItLasts) {
    for (std::uint64_t seed = 1; seed <= 500; ++seed) {
        Stand stand(seed);
        stand.count = 1 + static_cast<int>(seed % 4);
        stand.proven = kOld;
        stand.current = kNew;
        for (int i = 0; i < stand.count; ++i)
            stand.instances.push_back(
                {{100U + static_cast<std::uint32_t>(i), 1}, kOld, Stage::Ready, {}});
        bool is_settled = false;
        for (int step = 0; step < 2000; ++step) {
            stand.next_fill = step % 5 == 2 ? kLater : Time{};
            is_settled = stand.turn().is_settled;
            ASSERT_LE(stand.staying(), stand.count + 1) << "seed " << seed << " step " << step;
            ASSERT_GT(stand.staying(), 0) << "seed " << seed << " step " << step;
            if (is_settled) break;
            if (step % 11 == 3)
                std::erase_if(stand.instances,
                              [](const auto& each) { return each.version == kOld; });
            if (step % 13 == 3) stand.one_dies();
            stand.something_happens(false);
        }
        EXPECT_TRUE(is_settled) << "seed " << seed;
        EXPECT_EQ(stand.running(kNew), stand.count);
        EXPECT_EQ(stand.running(kOld), 0);
    }
}

// An old release that comes and goes must not cost the new one its start, nor the machine its time.
TEST(KeepReady, WhatServedWaitsForItsOwnBackOffAndTheNewOneForIts) {
    Stand stand(1);
    stand.proven = kOld;
    stand.current = kNew;
    stand.next_fill = kLater;
    // One of the old ones serves: what it lacks waits, the new release does not.
    stand.instances = {{{100, 1}, kOld, Stage::Ready, {}}};
    const Plan one_serves = stand.turn();
    EXPECT_EQ(one_serves.start, std::vector<model::Version>{kNew});
    EXPECT_EQ(one_serves.look_again, kLater);
    // None serves: all of the new release may start, and goes on when the old one tries again.
    stand.instances.clear();
    EXPECT_EQ(stand.turn().start, std::vector<model::Version>(3, kNew));
    EXPECT_EQ(stand.turn().look_again, kLater);
    stand.next_fill = {};
    const Plan tries_again = stand.turn();
    EXPECT_EQ(tries_again.start, std::vector<model::Version>{kOld});
    EXPECT_TRUE(tries_again.end.empty());
    EXPECT_TRUE(stand.turn().end.empty());
    // The other way round.
    stand.instances.clear();
    stand.next_start = kLater;
    const Plan new_waits = stand.turn();
    EXPECT_EQ(new_waits.start, std::vector<model::Version>(3, kOld));
    EXPECT_EQ(new_waits.look_again, kLater);
}

// A third release is wanted while the second one is still starting: that must not hold the place
// of the first, which serves.
TEST(KeepReady, WhatNobodyWaitsForAnyMoreMakesRoomForWhatServed) {
    Stand stand(1);
    stand.count = 1;
    stand.proven = kOld;
    stand.current = kNewest;
    stand.instances = {{{100, 1}, kNew, Stage::Starting, {}}};
    const Plan made = stand.turn();
    EXPECT_EQ(made.end, (std::vector<model::InstanceId>{{100, 1}}));
    EXPECT_EQ(made.start, (std::vector<model::Version>{kOld, kNewest}));
}

// Two copies that share data must never run at once.
TEST(KeepReady, OfASingleServiceAnOldOneThatDiedIsNotStartedBesideTheNewOne) {
    Stand stand(1);
    stand.count = 1;
    stand.is_single = true;
    stand.proven = kOld;
    stand.current = kNew;
    EXPECT_EQ(stand.turn().start, std::vector<model::Version>{kNew});
    EXPECT_TRUE(stand.turn().start.empty());
    // Nor the newest one beside it.
    stand.current = kNewest;
    EXPECT_TRUE(stand.turn().start.empty());
    EXPECT_TRUE(stand.turn().start.empty());
    stand.instances.clear();
    EXPECT_EQ(stand.turn().start, std::vector<model::Version>{kNewest});
}

// Else users of a release with a share would find nobody, whatever the other one does.
TEST(KeepReady, AReleaseWithAShareGoesOnWholeBesideTheNewOneUntilItHasNone) {
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        Stand stand(seed);
        stand.proven = kOld;
        for (int i = 0; i < 20; ++i) {
            stand.turn();
            stand.something_happens(false);
        }
        stand.current = kNew;
        stand.keeps_proven = true;
        for (int i = 0; i < 60; ++i) {
            if (i % 10 == 9) stand.one_dies();
            EXPECT_FALSE(stand.turn().is_settled);
            EXPECT_GE(stand.running(kOld), stand.count) << seed;
            EXPECT_LE(stand.staying(), 2 * stand.count) << seed;
            stand.something_happens(false);
        }
        stand.turn();
        EXPECT_EQ(stand.running(kOld), 3) << seed;
        EXPECT_EQ(stand.running(kNew), 3) << seed;
        stand.keeps_proven = false;
        for (int i = 0; i < 100; ++i) {
            stand.turn();
            stand.something_happens(false);
        }
        EXPECT_TRUE(stand.turn().is_settled) << seed;
        EXPECT_EQ(stand.running(kNew), 3) << seed;
    }
}

TEST(KeepReady, OfASingleServiceNeverTwoRun) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        Stand stand(seed);
        stand.count = 1;
        stand.is_single = true;
        stand.proven = kOld;
        stand.instances.push_back({{100, 1}, kOld, Stage::Ready, {}});
        stand.current = kNew;
        bool is_settled = false;
        for (int step = 0; step < 500 && !is_settled; ++step) {
            is_settled = stand.turn().is_settled;
            ASSERT_LE(stand.instances.size(), 1U) << "seed " << seed;
            if (step % 7 == 3) stand.one_dies();
            stand.something_happens(false);
        }
        EXPECT_TRUE(is_settled) << "seed " << seed;
        EXPECT_EQ(stand.running(kNew), 1);
    }
}

TEST(KeepReady, ARestartReplacesOneAfterTheOther) {
    Stand stand(3);
    stand.proven = kOld;
    for (std::uint32_t i = 0; i < 3; ++i)
        stand.instances.push_back({{100 + i, 1}, kOld, Stage::Ready, {}});
    stand.current = {1, 1};
    stand.proven = {1, 1};
    EXPECT_EQ(stand.turn().start.size(), 1U);
    EXPECT_EQ(stand.ready(), 3);
    // An old one dies meanwhile: what takes its place is new, never old.
    std::erase_if(stand.instances, [](const auto& each) { return each.id.slot == 101; });
    stand.turn();
    EXPECT_EQ(stand.running({1, 1}), 2);
    EXPECT_EQ(stand.running(kOld), 2);
    // That is enough: nothing more starts, and what was started does not leave again.
    const Plan next = stand.turn();
    EXPECT_TRUE(next.start.empty());
    EXPECT_TRUE(next.end.empty());
}

// A release that crashes is taken back while a single old one serves: what is started in place of
// those that fell must stay, or instances come and go without end.
TEST(KeepReady, WhatFillsAGapAfterAReversalStays) {
    Stand stand(1);
    stand.instances = {{{100, 1}, kNew, Stage::Ready, {}}};
    stand.current = stand.proven = kOld;
    EXPECT_EQ(stand.turn().start.size(), 3U);
    for (int i = 0; i < 3; ++i) {
        const Plan next = stand.turn();
        EXPECT_TRUE(next.start.empty() && next.end.empty()) << i;
    }
    EXPECT_EQ(stand.running(kOld), 3);
}

TEST(KeepReady, TooManyLeaveTheYoungestFirstAndNoneThatServesBeforeOneThatDoesNot) {
    Stand stand(1);
    stand.instances = {{{20, 1}, kOld, Stage::Ready, Time{std::chrono::seconds(1)}},
                       {{21, 1}, kOld, Stage::Ready, Time{std::chrono::seconds(2)}},
                       {{22, 1}, kOld, Stage::Starting, Time{std::chrono::seconds(3)}}};
    stand.count = 1;
    const Plan made = stand.turn();
    EXPECT_EQ(made.end, (std::vector<model::InstanceId>{{22, 1}, {21, 1}}));
}

TEST(KeepReady, WhatIsToStopStops) {
    Stand stand(1);
    stand.instances = {{{20, 1}, kOld, Stage::Ready, {}}, {{21, 1}, kNew, Stage::Starting, {}}};
    stand.count = 0;
    EXPECT_EQ(stand.turn().end.size(), 2U);
    stand.instances.clear();
    EXPECT_TRUE(stand.turn().is_settled);
}

}  // namespace
}  // namespace thole::recovery
