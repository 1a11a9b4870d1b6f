// Whom a fault on purpose hurts, and for how long.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>

#include "base/random.h"
#include "edge/leases.h"
#include "edge/test_times.h"

namespace thole::edge {
namespace {

constexpr std::uint32_t kShop = 1;
constexpr std::uint32_t kWeb = 7;

wire::FaultTerms terms(std::uint32_t id, std::uint32_t share, wire::FaultKind kind) {
    wire::FaultTerms made{};
    made.id = id;
    made.service = kShop;
    made.caller = wire::kAnyCaller;
    made.slot = wire::kAnySlot;
    made.kind = kind;
    made.share = share;
    made.status = 503;
    made.delay = kSecond / 5;
    made.rate = 1000;
    made.until = 30 * kSecond;
    return made;
}

class LeasesTest : public ::testing::Test {
protected:
    void SetUp() override { http::parse_request_head(text_, head_); }

    Status put(const wire::FaultTerms& wanted, std::int64_t now_ns = kSecond) {
        const std::uint32_t place = TRY(admit_lease(*leases_, wanted, now_ns));
        if (place == kNoLease) return success();
        forget_lease(*leases_, place);
        put_lease(*leases_, place, wanted, now_ns);
        return success();
    }
    // How many of 100 000 each hurts, by its id; 0: nobody.
    std::array<int, 8> draw(std::uint32_t caller = wire::kAnyCaller,
                            std::int64_t now_ns = 2 * kSecond) {
        std::array<int, 8> counts{};
        Random random(1);
        for (int i = 0; i < 100'000; ++i) {
            const FaultChoice choice = choose_fault(*leases_, {kShop, caller, head_}, now_ns,
                                                    static_cast<std::uint32_t>(random.below(1000)));
            ++counts[choice.place == kNoLease ? 0 : leases_->entries[choice.place].id.load()];
        }
        return counts;
    }

    std::unique_ptr<Leases> leases_ = std::make_unique<Leases>();
    std::string text_ = "GET / HTTP/1.1\r\nHost: a\r\nx-CHAOS: Run-1\r\n\r\n";
    http::RequestHead head_;
};

TEST_F(LeasesTest, EachHurtsItsShare) {
    ASSERT_TRUE(put(terms(1, 200, wire::FaultKind::Abort)));
    ASSERT_TRUE(put(terms(2, 100, wire::FaultKind::Delay)));
    ASSERT_TRUE(put(terms(3, 1, wire::FaultKind::Reset)));
    const std::array<int, 8> counts = draw();
    EXPECT_NEAR(counts[1], 20'000, 500);
    EXPECT_NEAR(counts[2], 10'000, 500);
    EXPECT_NEAR(counts[3], 100, 50);
}

TEST_F(LeasesTest, OverAtItsEndAlsoWhereNobodyHasSaidSo) {
    ASSERT_TRUE(put(terms(1, 500, wire::FaultKind::Abort)));
    EXPECT_GT(draw(wire::kAnyCaller, 30 * kSecond - 1)[1], 0);
    EXPECT_EQ(draw(wire::kAnyCaller, 30 * kSecond)[1], 0);
    EXPECT_EQ(find_lease(*leases_, 1, 30 * kSecond), nullptr);
    EXPECT_NE(leases_->live.load(), 0U);
    refresh_leases(*leases_, 30 * kSecond);
    EXPECT_EQ(leases_->live.load(), 0U);
}

TEST_F(LeasesTest, AnEndComesEarlierAndNeverLater) {
    wire::FaultTerms fault = terms(1, 500, wire::FaultKind::Abort);
    ASSERT_TRUE(put(fault));
    fault.until = 60 * kSecond;
    ASSERT_TRUE(put(fault));
    EXPECT_EQ(find_lease(*leases_, 1, 31 * kSecond), nullptr);
    fault.until = 0;
    ASSERT_TRUE(put(fault, 3 * kSecond));
    EXPECT_EQ(find_lease(*leases_, 1, 3 * kSecond), nullptr);
    // Said again by who has not heard of its end.
    fault.until = 60 * kSecond;
    ASSERT_TRUE(put(fault, 4 * kSecond));
    EXPECT_EQ(find_lease(*leases_, 1, 4 * kSecond), nullptr);
    EXPECT_EQ(draw(wire::kAnyCaller, 4 * kSecond)[1], 0);
}

TEST_F(LeasesTest, AllTogetherHurtHalfUnlessOneMayHurtEverybody) {
    ASSERT_TRUE(put(terms(1, 300, wire::FaultKind::Abort)));
    const Status refused = put(terms(2, 201, wire::FaultKind::Abort));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message,
              "50.1 % of what it is asked would be hurt; more than 50 % has to be said");
    wire::FaultTerms other = terms(2, 500, wire::FaultKind::Abort);
    other.service = 2;
    EXPECT_TRUE(put(other)) << "another service has its own half";
    wire::FaultTerms whole = terms(3, 1000, wire::FaultKind::Reset);
    EXPECT_FALSE(put(whole));
    whole.flags = wire::kFaultWhole;
    ASSERT_TRUE(put(whole));
    const std::array<int, 8> counts = draw();
    EXPECT_NEAR(counts[1], 30'000, 500);
    EXPECT_EQ(counts[0], 0);
}

TEST_F(LeasesTest, HurtsWhomItNamesAndNobodyElse) {
    wire::FaultTerms fault = terms(1, 500, wire::FaultKind::Abort);
    std::strcpy(fault.field, "X-Chaos");
    std::strcpy(fault.value, "Run-1");
    fault.caller = kWeb;
    ASSERT_TRUE(put(fault));
    EXPECT_NEAR(draw(kWeb)[1], 50'000, 500);
    EXPECT_EQ(draw(kWeb + 1)[1], 0) << "another service asks";
    EXPECT_EQ(draw()[1], 0) << "somebody outside asks";
    for (const std::string_view other : {"x-chaos: run-1", "x-chaos: Run-11", "x-chaos2: Run-1"}) {
        text_ = "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(other) + "\r\n\r\n";
        SetUp();
        EXPECT_EQ(draw(kWeb)[1], 0) << other;
    }
}

// Whom it names decides only once the instance is known; until then it has its share beside others.
TEST_F(LeasesTest, AimedItHitsAReleaseOrAnInstance) {
    wire::FaultTerms fault = terms(1, 200, wire::FaultKind::Abort);
    EXPECT_FALSE(is_aimed(fault));
    EXPECT_TRUE(hits(fault, 4, 2));
    fault.release = 2;
    EXPECT_TRUE(is_aimed(fault));
    EXPECT_TRUE(hits(fault, 4, 2));
    EXPECT_FALSE(hits(fault, 4, 3));
    fault.slot = 4;
    EXPECT_TRUE(hits(fault, 4, 2));
    EXPECT_FALSE(hits(fault, 5, 2));
    fault.release = 0;
    EXPECT_TRUE(hits(fault, 4, 3));
    EXPECT_FALSE(hits(fault, 0, 3));
    ASSERT_TRUE(put(fault));
    ASSERT_TRUE(put(terms(2, 300, wire::FaultKind::Delay)));
    EXPECT_FALSE(put(terms(3, 1, wire::FaultKind::Delay))) << "both together are half of it";
    const std::array<int, 8> counts = draw();
    EXPECT_NEAR(counts[1], 20'000, 500);
    EXPECT_NEAR(counts[2], 30'000, 500);
}

TEST_F(LeasesTest, APartitionIsOfAllThatOneServiceAsksTheOther) {
    wire::FaultTerms cut = terms(1, 1000, wire::FaultKind::Partition);
    cut.flags = wire::kFaultWhole;
    EXPECT_FALSE(put(cut)) << "between whom?";
    cut.caller = kWeb;
    cut.share = 500;
    EXPECT_FALSE(put(cut)) << "a half of it is none";
    cut.share = 1000;
    cut.slot = 4;
    EXPECT_FALSE(put(cut)) << "one instance of it is none";
    cut.slot = wire::kAnySlot;
    ASSERT_TRUE(put(cut));
    EXPECT_EQ(find_partition(*leases_, kShop, kWeb, 2 * kSecond), &leases_->entries[0]);
    EXPECT_EQ(find_partition(*leases_, kShop, kWeb + 1, 2 * kSecond), nullptr);
    EXPECT_EQ(find_partition(*leases_, kShop + 1, kWeb, 2 * kSecond), nullptr);
    EXPECT_EQ(find_partition(*leases_, kShop, kWeb, 30 * kSecond), nullptr) << "it is over";
}

TEST_F(LeasesTest, WhatMakesNoSenseIsRefused) {
    const auto is_refused = [this](wire::FaultKind kind, auto change) {
        wire::FaultTerms fault = terms(1, 100, kind);
        change(fault);
        return !put(fault);
    };
    using wire::FaultKind;
    EXPECT_TRUE(is_refused(FaultKind::Abort, [](auto& fault) { fault.share = 0; }));
    EXPECT_TRUE(is_refused(FaultKind::Abort, [](auto& fault) { fault.share = 1001; }));
    EXPECT_TRUE(is_refused(FaultKind::Abort, [](auto& fault) { fault.status = 200; }));
    EXPECT_TRUE(is_refused(FaultKind::Abort, [](auto& fault) { fault.id = 0; }));
    EXPECT_TRUE(is_refused(FaultKind::Count_, [](auto&) {}));
    EXPECT_TRUE(is_refused(FaultKind::Delay, [](auto& fault) { fault.delay = 0; }));
    EXPECT_TRUE(is_refused(FaultKind::Delay, [](auto& fault) { fault.jitter = fault.delay + 1; }));
    EXPECT_TRUE(is_refused(FaultKind::SlowBody, [](auto& fault) { fault.rate = 0; }));
    EXPECT_TRUE(is_refused(FaultKind::Bandwidth, [](auto& fault) { fault.rate = ~0ULL; }));
    EXPECT_TRUE(is_refused(FaultKind::Hang, [](auto& fault) { fault.until = 3602 * kSecond; }));
    EXPECT_TRUE(is_refused(
        FaultKind::Hang, [](auto& fault) { std::memset(fault.value, 'x', sizeof(fault.value)); }));
    EXPECT_TRUE(put(terms(1, 100, FaultKind::Hang)));
}

TEST_F(LeasesTest, APlaceIsUsedAgainOnceItsLeaseIsOver) {
    for (std::uint32_t id = 1; id <= kLeasesMax; ++id) {
        wire::FaultTerms fault = terms(id, 1, wire::FaultKind::Reset);
        fault.until = 10 * kSecond + id;
        ASSERT_TRUE(put(fault));
    }
    EXPECT_FALSE(put(terms(100, 1, wire::FaultKind::Reset)));
    ASSERT_TRUE(put(terms(100, 1, wire::FaultKind::Reset), 10 * kSecond + 2));
    EXPECT_NE(find_lease(*leases_, 100, 11 * kSecond), nullptr);
    EXPECT_EQ(leases_->entries[0].id.load(), 100U) << "the one that has been over for longest";
    EXPECT_EQ(leases_->entries[1].id.load(), 2U) << "kept: who asks may still hear of it";
}

}  // namespace
}  // namespace thole::edge
