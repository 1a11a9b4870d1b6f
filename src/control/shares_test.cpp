// What people say of shares, and what control keeps of it.
#include "control/shares.h"

#include <gtest/gtest.h>

namespace thole::control {
namespace {

Result<Parts> read(const std::string& json) { return read_parts(parse_json(json).value(), {2, 1}); }

TEST(ControlShares, TheNewestReleaseStandsFirst) {
    const Parts parts = read(R"({"v1": "99%", "v2": "1.0%"})").value();
    EXPECT_EQ(text_of(parts), "2:10 1:990");
    EXPECT_EQ(words_of(parts), "v2 1%, v1 99%");
    EXPECT_EQ(part_of(parts, 2), 10U);
    EXPECT_EQ(part_of(parts, 3), 0U);
    EXPECT_EQ(text_of(read(R"({"v2": "0%", "v1": "100%"})").value()), "1:1000");
    EXPECT_TRUE(read("{}").value().empty());
}

TEST(ControlShares, WhatIsWrongIsNamed) {
    const auto why = [](const std::string& json) {
        const Result<Parts> parts = read(json);
        return parts.ok() ? std::string("read") : parts.error().text();
    };
    const std::string then = "\n  try: {\"shares\": {\"v2\": \"1%\", \"v1\": \"99%\"}}";
    EXPECT_EQ(why("[]"), "shares: must have a share for each release" + then);
    EXPECT_EQ(why("null"), "shares: must have a share for each release" + then);
    EXPECT_EQ(why(R"({"v3": "100%"})"),
              "shares: 'v3' neither serves nor is about to; these do: v2 and v1\n  try: thole ps");
    EXPECT_EQ(why(R"({"2": "100%"})"),
              "shares: '2' neither serves nor is about to; these do: v2 and v1\n  try: thole ps");
    EXPECT_EQ(why(R"({"v2": 1})"), "shares.v2: must be a text like \"1%\"" + then);
    EXPECT_EQ(why(R"({"v2": "0.05%", "v1": "99.95%"})"),
              "shares.v2: '0.05%' is not a share: 0% to 100%, in steps of 0.1%" + then);
    EXPECT_EQ(why(R"({"v2": "1%", "v1": "98%"})"), "shares: together 99%, and must be 100%" + then);
    EXPECT_EQ(why(R"({"v2": "0%"})"), "shares: together 0%, and must be 100%" + then);
}

// Damage must not become somebody else's share.
TEST(ControlShares, OnlyWhatWasWrittenIsReadAgain) {
    EXPECT_EQ(text_of(parts_of({1, 0, 0, "2:10 1:990"}).value()), "2:10 1:990");
    for (const char* const text : {"", "2:10", "1:990 2:10", "2:10 2:990", "2:10  1:990",
                                   "2:10 1:990 ", "2 1:1000", "2:0 1:1000", "x:10 1:990"}) {
        EXPECT_FALSE(parts_of({1, 0, 0, text})) << text;
    }
}

// While two releases share, who is where stays there; the next experiment begins with others.
TEST(ControlShares, TheSaltIsDrawnWhereAnExperimentBegins) {
    Random random(1);
    const Parts all{{1, 1000}}, few{{2, 10}, {1, 990}}, more{{2, 100}, {1, 900}};
    const model::SharesRow gate = next_row(7, all, std::nullopt, random);
    const model::SharesRow begun = next_row(7, few, gate, random);
    EXPECT_NE(begun.salt_low, gate.salt_low);
    const model::SharesRow grown = next_row(7, more, begun, random);
    EXPECT_EQ(grown, (model::SharesRow{7, begun.salt_low, begun.salt_high, "2:100 1:900"}));
    EXPECT_NE(next_row(7, few, std::nullopt, random).salt_low, begun.salt_low);
    EXPECT_EQ(for_edge(grown, more).salt_low, static_cast<std::uint64_t>(begun.salt_low));
    EXPECT_EQ(for_edge(grown, more).count, 2U);
}

}  // namespace
}  // namespace thole::control
