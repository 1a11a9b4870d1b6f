// Shares: the right part of all users, always the same ones.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "edge/shares.h"

namespace thole::edge {
namespace {

constexpr Salt kSalt{0x0123456789abcdef, 0xfedcba9876543210};

std::string user(int number) { return "user-" + std::to_string(number); }

// The 64-bit results of SipHash-2-4 from its authors' reference code (vectors.h): key 00 01 .. 0f,
// texts of 0 to 63 bytes 00 01 02 ...
constexpr std::uint64_t kReference[64] = {
    0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
    0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
    0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
    0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
    0x3f2acc7f57c29bdb, 0x699ae9f52cbe4794, 0x4bc1b3f0968dd39c, 0xbb6dc91da77961bd,
    0xbed65cf21aa2ee98, 0xd0f2cbb02e3b67c7, 0x93536795e3a33e88, 0xa80c038ccd5ccec8,
    0xb8ad50c6f649af94, 0xbce192de8a85b8ea, 0x17d835b85bbb15f3, 0x2f2e6163076bcfad,
    0xde4daaaca71dc9a5, 0xa6a2506687956571, 0xad87a3535c49ef28, 0x32d892fad841c342,
    0x7127512f72f27cce, 0xa7f32346f95978e3, 0x12e0b01abb051238, 0x15e034d40fa197ae,
    0x314dffbe0815a3b4, 0x027990f029623981, 0xcadcd4e59ef40c4d, 0x9abfd8766a33735c,
    0x0e3ea96b5304a7d0, 0xad0c42d6fc585992, 0x187306c89bc215a9, 0xd4a60abcf3792b95,
    0xf935451de4f21df2, 0xa9538f0419755787, 0xdb9acddff56ca510, 0xd06c98cd5c0975eb,
    0xe612a3cb9ecba951, 0xc766e62cfcadaf96, 0xee64435a9752fe72, 0xa192d576b245165a,
    0x0a8787bf8ecb74b2, 0x81b3e73d20b49b6f, 0x7fa8220ba3b2ecea, 0x245731c13ca42499,
    0xb78dbfaf3a8d83bd, 0xea1ad565322a1a0b, 0x60e61c23a3795013, 0x6606d7e446282b93,
    0x6ca4ecb15c5f91e1, 0x9f626da15c9625f3, 0xe51b38608ef25f57, 0x958a324ceb064572,
};

TEST(Shares, TheHashIsTheOneThatItsAuthorsDescribe) {
    std::string text;
    for (const std::uint64_t expected : kReference) {
        EXPECT_EQ(siphash({0x0706050403020100, 0x0f0e0d0c0b0a0908}, text), expected) << text.size();
        text += static_cast<char>(text.size());
    }
}

TEST(Shares, OnePercentOfAHundredThousandUsersIsOnePercentOfThem) {
    for (std::uint64_t experiment = 1; experiment <= 5; ++experiment) {
        int canary = 0;
        for (int i = 0; i < 100'000; ++i) {
            const std::uint32_t point = point_of({experiment, 77}, user(i));
            ASSERT_LT(point, kPerMille);
            canary += release_at(point, std::vector<std::uint16_t>{10, 990}) == 0 ? 1 : 0;
        }
        EXPECT_GE(canary, 900) << experiment;
        EXPECT_LE(canary, 1100) << experiment;
    }
}

// A user who has seen the new page and gets the old one again calls it broken.
TEST(Shares, WhoIsOnTheNewReleaseStaysThereWhileItGrows) {
    for (int i = 0; i < 2000; ++i) {
        const std::uint32_t point = point_of(kSalt, user(i));
        bool was_new = false;
        for (std::uint16_t share = 0; share <= kPerMille; share += 5) {
            const std::vector<std::uint16_t> shares = {
                share, static_cast<std::uint16_t>(kPerMille - share)};
            const bool is_new = release_at(point, shares) == 0;
            EXPECT_FALSE(was_new && !is_new) << i << " at " << share;
            was_new = is_new;
        }
        EXPECT_TRUE(was_new);
    }
}

TEST(Shares, AReleaseWithoutAShareGetsNothing) {
    for (std::uint32_t point = 0; point < kPerMille; ++point) {
        EXPECT_EQ(release_at(point, std::vector<std::uint16_t>{0, 1000}), 1U);
        EXPECT_EQ(release_at(point, std::vector<std::uint16_t>{1000, 0}), 0U);
        EXPECT_EQ(release_at(point, std::vector<std::uint16_t>{0, 400, 0, 600, 0}),
                  point < 400 ? 1U : 3U);
        EXPECT_FALSE(release_at(point, std::vector<std::uint16_t>{0, 0}));
        EXPECT_FALSE(release_at(point, {}));
        // Of a sum that is not 1000 nobody is lost.
        EXPECT_EQ(release_at(point, std::vector<std::uint16_t>{10, 20, 0}), point < 10 ? 0U : 1U);
        EXPECT_EQ(release_at(point, std::vector<std::uint16_t>{1000, 1000}), 0U);
    }
}

// A release that is out must not cost its users an error, nor anybody else a change of sides.
TEST(Shares, WhatAReleaseThatIsOutHadGoesToTheOthersByWhatTheyShare) {
    const std::vector<std::uint16_t> shares = {100, 300, 600};
    int got[3] = {};
    for (std::uint32_t point = 0; point < kPerMille; ++point) {
        EXPECT_EQ(release_that_serves(point, shares, 0b111), release_at(point, shares));
        const std::size_t own = *release_at(point, shares);
        const std::optional<std::size_t> now = release_that_serves(point, shares, 0b101);
        ASSERT_TRUE(now);
        EXPECT_TRUE(own == 1 || *now == own) << point;
        got[*now] += own == 1 ? 1 : 0;
        EXPECT_EQ(release_that_serves(point, shares, 0b010), 1U);
        EXPECT_FALSE(release_that_serves(point, shares, 0));
    }
    EXPECT_EQ(got[1], 0);
    EXPECT_NEAR(got[0], 300 * 100 / 700, 1);
    EXPECT_NEAR(got[2], 300 * 600 / 700, 1);
    // One without a share is no way out.
    EXPECT_FALSE(release_that_serves(3, std::vector<std::uint16_t>{0, 1000}, 0b01));
    // The smallest one, which was alone at its point.
    EXPECT_EQ(release_that_serves(0, std::vector<std::uint16_t>{1, 999}, 0b10), 1U);
}

TEST(Shares, OtherExperimentsHaveOtherUsersFirst) {
    int both = 0;
    for (int i = 0; i < 100'000; ++i) {
        both += point_of({1, 2}, user(i)) < 100 && point_of({1, 3}, user(i)) < 100 ? 1 : 0;
    }
    EXPECT_NEAR(both, 1000, 150);
}

TEST(Shares, WithoutAKeyTheDrawIsEven) {
    Random random(1);
    int canary = 0;
    for (int i = 0; i < 100'000; ++i) canary += any_point(random) < 10 ? 1 : 0;
    EXPECT_NEAR(canary, 1000, 100);
}

// Written down once: a later change would throw every user of every experiment to another side.
TEST(Shares, AKeyStandsWhereItStoodInEveryVersion) {
    EXPECT_EQ(point_of(kSalt, "user-1"), 42U);
    EXPECT_EQ(point_of(kSalt, ""), 718U);
}

}  // namespace
}  // namespace thole::edge
