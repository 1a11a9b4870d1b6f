// The whole way from a request's head to the instance that takes it, where releases share a
// service.
#include "edge/sharing.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <map>
#include <string>
#include <vector>

#include "base/check.h"
#include "edge/endpoints.h"
#include "edge/test_times.h"

namespace thole::edge {
namespace {

constexpr ServiceAt kShop{7, 0};
constexpr std::uint32_t kStable = 1, kCanary = 2;

wire::ServiceShares shares_of(std::vector<wire::ReleaseShare> parts) {
    wire::ServiceShares shares{};
    shares.salt_low = 11;
    shares.salt_high = 12;
    shares.service = kShop.id;
    for (const wire::ReleaseShare& part : parts) shares.of[shares.count++] = part;
    return shares;
}

// Two instances of each release: of the stable one in slots 20 and 21, of the canary in 30 and 31.
class Sharing : public testing::Test {
protected:
    Sharing() : segment_(map_segment()), first_(segment_), second_(segment_) {
        segment_.service_count = 1;
        segment_.services[0].id = kShop.id;
        segment_.services[0].is_used = 1;
        segment_.routes[0].sticky[0] = sticky_key_of({wire::StickyBy::Cookie, "user"});
        for (std::uint32_t slot = 0; slot < wire::kSlotsMax; ++slot)
            segment_.endpoints[slot].bits = wire::kBitGone;
        for (const std::uint32_t slot : {20U, 21U, 30U, 31U}) {
            EndpointEntry& entry = segment_.endpoints[slot];
            entry.service = kShop.id;
            entry.release = slot < 30 ? kStable : kCanary;
            entry.generation = 1;
            entry.bits = 0;
        }
        apply();
    }
    ~Sharing() override { ::munmap(&segment_, sizeof(Segment)); }

    void apply() {
        first_.apply();
        second_.apply();
    }
    void say(std::vector<wire::ReleaseShare> parts) {
        const std::vector<wire::ServiceShares> all{shares_of(std::move(parts))};
        ASSERT_TRUE(are_well_formed(all));
        put_shares(segment_, all);
    }
    std::uint16_t point_of(const std::string& cookie) {
        const std::string text = "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + cookie + "\r\n\r\n";
        static http::RequestHead head;
        CHECK(http::parse_request_head(text, head).state == http::HeadState::Done);
        const Shares* const shares = edge::shares_of(segment_, kShop.place);
        if (shares == nullptr) return kNoPoint;
        return place_among(*shares, segment_.routes[0].sticky[kShop.place], head, random_);
    }
    std::uint32_t slot_for(Endpoints& worker, const Wanted& wanted) {
        return worker.pick(kShop, wanted, kSecond, random_);
    }
    std::uint32_t release_for(Endpoints& worker, std::uint16_t point) {
        const std::uint32_t slot = slot_for(worker, {.point = point});
        return slot == kNone ? 0 : segment_.endpoints[slot].release.load();
    }
    std::uint32_t release_of_user(int number) {
        return release_for(first_, point_of("user=u" + std::to_string(number)));
    }
    // Of so many points, how many each release takes; 0: nobody does.
    std::map<std::uint32_t, int> taken() {
        std::map<std::uint32_t, int> taken;
        for (std::uint16_t point = 0; point < kPerMille; ++point)
            ++taken[release_for(first_, point)];
        return taken;
    }
    void set_out(std::initializer_list<std::uint32_t> slots) {
        for (const std::uint32_t slot : slots) segment_.endpoints[slot].bits = wire::kBitControl;
    }

    static Segment& map_segment() {
        void* const at = ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        CHECK(at != MAP_FAILED);
        return *static_cast<Segment*>(at);
    }
    Segment& segment_;
    Endpoints first_, second_;  // Of two workers.
    Random random_{1};
};

TEST_F(Sharing, WithoutSharesAllServeAlikeAndNobodyIsPlaced) {
    EXPECT_EQ(point_of("user=u1"), kNoPoint);
    std::map<std::uint32_t, int> slots;
    for (int i = 0; i < 4000; ++i) ++slots[slot_for(first_, {})];
    for (const std::uint32_t slot : {20U, 21U, 30U, 31U}) EXPECT_NEAR(slots[slot], 1000, 200);
}

TEST_F(Sharing, OnePercentOfAHundredThousandUsersIsOnePercentOfThemInBothWorkers) {
    say({{kCanary, 10}, {kStable, 990}});
    int canary = 0;
    for (int i = 0; i < 100'000; ++i) {
        const std::uint16_t point = point_of("a=b; user=u" + std::to_string(i));
        const std::uint32_t release = release_for(first_, point);
        ASSERT_EQ(release_for(second_, point), release);
        canary += release == kCanary ? 1 : 0;
    }
    EXPECT_GE(canary, 900);
    EXPECT_LE(canary, 1100);
}

// A user who has seen the new page and gets the old one again calls it broken.
TEST_F(Sharing, FromOnePercentToTenNobodyLeavesTheCanary) {
    say({{kCanary, 10}, {kStable, 990}});
    std::vector<std::uint32_t> before;
    for (int i = 0; i < 5000; ++i) before.push_back(release_of_user(i));
    say({{kCanary, 100}, {kStable, 900}});
    int moved = 0;
    for (int i = 0; i < 5000; ++i) {
        const std::uint32_t now = release_of_user(i);
        EXPECT_FALSE(before[static_cast<std::size_t>(i)] == kCanary && now != kCanary) << i;
        moved += now != before[static_cast<std::size_t>(i)] ? 1 : 0;
    }
    EXPECT_NEAR(moved, 450, 100);
}

TEST_F(Sharing, WithoutTheCookieEachRequestIsDrawn) {
    say({{kCanary, 200}, {kStable, 800}});
    int canary = 0;
    for (int i = 0; i < 10'000; ++i)
        canary += release_for(first_, point_of("other=1")) == kCanary ? 1 : 0;
    EXPECT_NEAR(canary, 2000, 200);
}

TEST_F(Sharing, AReleaseWithoutAShareGetsNothingWhileAnotherServes) {
    say({{kCanary, 0}, {kStable, 1000}});
    EXPECT_EQ(taken()[kStable], 1000);
    say({{kCanary, 1000}, {kStable, 0}});
    EXPECT_EQ(taken()[kCanary], 1000);
    // One that is not even named, too.
    say({{kCanary, 1000}});
    EXPECT_EQ(taken()[kCanary], 1000);
}

TEST_F(Sharing, WhatAReleaseThatIsOutHadGoesToTheOtherAndIsCounted) {
    say({{kCanary, 100}, {kStable, 900}});
    set_out({30});
    EXPECT_EQ(taken()[kCanary], 100) << "one of two still serves";
    EXPECT_FALSE(first_.take_diverted());
    // Refused, not yet said to be out.
    first_.refused(31, kSecond);
    EXPECT_EQ(release_for(first_, 5), kStable);
    EXPECT_TRUE(first_.take_diverted());
    EXPECT_EQ(release_for(first_, 500), kStable);
    EXPECT_FALSE(first_.take_diverted());
    EXPECT_EQ(release_for(second_, 5), kCanary);
    // No share is a reason for an error.
    say({{kCanary, 1000}, {kStable, 0}});
    set_out({31});
    EXPECT_EQ(taken()[kStable], 1000);
    EXPECT_TRUE(first_.take_diverted());
    set_out({20, 21});
    EXPECT_EQ(taken()[0], 1000);
}

TEST_F(Sharing, ASecondTryStaysWithinItsRelease) {
    say({{kCanary, 500}, {kStable, 500}});
    for (int i = 0; i < 100; ++i) EXPECT_EQ(slot_for(first_, {.last = 30, .point = 499}), 31U);
    EXPECT_EQ(slot_for(first_, {.last = 30, .before = 31, .point = 499}), kNone);
    set_out({30, 31});
    const std::uint32_t slot = slot_for(first_, {.last = 30, .before = 31, .point = 499});
    EXPECT_TRUE(slot == 20 || slot == 21) << slot;
}

TEST_F(Sharing, WhatIsSaidNoMoreIsOver) {
    say({{kCanary, 1000}});
    put_shares(segment_, {});
    EXPECT_EQ(shares_of(segment_, 0), nullptr);
    EXPECT_EQ(point_of("user=u1"), kNoPoint);
}

// What stands in the half by which workers go is never written.
TEST_F(Sharing, AChangeGoesIntoTheOtherHalf) {
    say({{kCanary, 1000}});
    const Shares* const before = shares_of(segment_, 0);
    const Shares was = *before;
    say({{kCanary, 1000}});
    EXPECT_EQ(shares_of(segment_, 0), before) << "nothing has changed";
    say({{kCanary, 10}, {kStable, 990}});
    EXPECT_NE(shares_of(segment_, 0), before);
    EXPECT_EQ(before->count, was.count);
}

TEST(SharesSaid, NonsenseIsRefused) {
    const auto is_taken = [](std::vector<wire::ReleaseShare> parts) {
        const std::vector<wire::ServiceShares> all{shares_of(std::move(parts))};
        return are_well_formed(all);
    };
    EXPECT_TRUE(is_taken({{2, 10}, {1, 990}}));
    EXPECT_FALSE(is_taken({}));
    EXPECT_FALSE(is_taken({{2, 10}, {1, 989}}));
    EXPECT_FALSE(is_taken({{2, 10}, {2, 990}}));
    EXPECT_FALSE(is_taken({{2, 0xffffffff}, {1, 1001}}));
    std::vector<wire::ServiceShares> twice{shares_of({{1, 1000}}), shares_of({{1, 1000}})};
    EXPECT_FALSE(are_well_formed(twice));
    twice[1].service += 1;
    EXPECT_TRUE(are_well_formed(twice));
    twice[1].count = wire::kSharesMax + 1;
    EXPECT_FALSE(are_well_formed(twice));
}

}  // namespace
}  // namespace thole::edge
