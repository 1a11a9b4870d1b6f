#include "recovery/keep_ready.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace thole::recovery {
namespace {

using model::Stage;

constexpr model::Version kOld{1, 0};
constexpr model::Version kNew{2, 0};

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
    Plan turn() {
        const Plan made = plan({.count = count,
                                .is_single = is_single,
                                .current = current,
                                .proven = proven,
                                .next_start = {},
                                .now = Time{std::chrono::hours(1)},
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
    model::Version current = kOld;
    model::Version proven{};
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
    EXPECT_TRUE(made.waits);
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

// Two copies that share data must never run at once.
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
