#include "edge/lineage.h"

#include <gtest/gtest.h>

#include <thread>

namespace thole::edge {
namespace {

// An edge that was started beside another would serve beside its holder.
TEST(Lineage, AnOfferIsTakenOnce) {
    Lineage lineage{0};
    const std::uint64_t offer = open_offer(lineage, 0);
    ASSERT_NE(offer, 0U);
    EXPECT_TRUE(take_offer(lineage, offer));
    EXPECT_EQ(line_of(lineage), 1U);
    EXPECT_FALSE(take_offer(lineage, offer));
    EXPECT_FALSE(close_offer(lineage, 0));
    EXPECT_EQ(open_offer(lineage, 0), 0U);
}

// The old edge goes on: who was to take its place finds out, however late it comes.
TEST(Lineage, WhatWasGivenUpIsNotTaken) {
    Lineage lineage{0};
    const std::uint64_t offer = open_offer(lineage, 0);
    EXPECT_TRUE(close_offer(lineage, 0));
    EXPECT_FALSE(take_offer(lineage, offer));
    EXPECT_TRUE(close_offer(lineage, 0));
    const std::uint64_t another = open_offer(lineage, 0);
    EXPECT_NE(another, offer);
    EXPECT_FALSE(take_offer(lineage, offer));
    EXPECT_TRUE(take_offer(lineage, another));
    EXPECT_EQ(line_of(lineage), 1U);
}

// keeper has started an edge of its own.
TEST(Lineage, ANewLineEndsEveryOffer) {
    Lineage lineage{0};
    const std::uint64_t offer = open_offer(lineage, 0);
    begin_line(lineage);
    EXPECT_FALSE(take_offer(lineage, offer));
    EXPECT_FALSE(close_offer(lineage, 0));
    EXPECT_TRUE(close_offer(lineage, 1));
    const std::uint64_t next = open_offer(lineage, 1);
    EXPECT_TRUE(take_offer(lineage, next));
    EXPECT_EQ(line_of(lineage), 2U);
}

// The old edge is killed while the new one takes its place: its holder gives the offer up.
TEST(Lineage, OfTwoWhoDecideInOneMomentOneWins) {
    Lineage lineage{0};
    for (std::uint32_t line = 0, turn = 0; turn < 2000; ++turn) {
        const std::uint64_t offer = open_offer(lineage, line);
        bool is_taken = false;
        std::thread other([&] { is_taken = take_offer(lineage, offer); });
        const bool is_kept = close_offer(lineage, line);
        other.join();
        ASSERT_NE(is_taken, is_kept);
        line += is_taken ? 1 : 0;
        ASSERT_EQ(line_of(lineage), line);
    }
}

}  // namespace
}  // namespace thole::edge
