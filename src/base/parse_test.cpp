#include "base/parse.h"

#include <gtest/gtest.h>

#include <chrono>

namespace thole {
namespace {

using namespace std::chrono_literals;

TEST(ParseDuration, ReadsExactlyTheDocumentedForms) {
    EXPECT_EQ(parse_duration("250ms").value(), Duration(250ms));
    EXPECT_EQ(parse_duration("5s").value(), Duration(5s));
    EXPECT_EQ(parse_duration("2m").value(), Duration(2min));
    EXPECT_EQ(parse_duration("1h").value(), Duration(1h));
    EXPECT_EQ(parse_duration("7d").value(), Duration(168h));
}

// A bare number once meant seconds to the writer and milliseconds to the reader.
TEST(ParseDuration, RefusesWhatCouldBeMisread) {
    for (const char* text : {"", "5", "s", "-1s", "+1s", "1 s", " 1s", "1s ", "1.5s", "1S", "1sec",
                             "9999999999d", "99999999999999999999s", "0x1s"}) {
        EXPECT_FALSE(parse_duration(text).ok()) << text;
    }
}

TEST(ParseDuration, PrintsWhatItReads) {
    for (const Duration value :
         {Duration(1ms), Duration(1500ms), Duration(60s), Duration(90s), Duration(24h)}) {
        EXPECT_EQ(parse_duration(print_duration(value)).value(), value) << print_duration(value);
    }
}

TEST(ParseInteger, KeepsToItsBounds) {
    EXPECT_EQ(parse_integer("65535", 1, 65535).value(), 65535);
    EXPECT_EQ(parse_integer("-3", -5, 5).value(), -3);
    for (const char* text :
         {"", "0", "65536", "+1", "01", " 1", "1 ", "1a", "-1", "99999999999999999999"}) {
        EXPECT_FALSE(parse_integer(text, 1, 65535).ok()) << text;
    }
}

TEST(ParseSize, KnowsBothPowers) {
    EXPECT_EQ(parse_size("512").value(), 512);
    EXPECT_EQ(parse_size("64Ki").value(), 65536);
    EXPECT_EQ(parse_size("2Gi").value(), 2147483648LL);
    EXPECT_EQ(parse_size("10k").value(), 10000);
    for (const char* text : {"", "Ki", "-1", "1KiB", "1.5Gi", "9999999Ti"})
        EXPECT_FALSE(parse_size(text).ok()) << text;
}

TEST(ParseShare, ReadsStepsOfATenthAndPrintsThem) {
    for (const auto& [text, share] :
         {std::pair{"0%", 0}, {"0.1%", 1}, {"1%", 10}, {"12.5%", 125}, {"100%", 1000}}) {
        EXPECT_EQ(parse_share(text).value_or(-1), share) << text;
        EXPECT_EQ(print_share(share), text);
    }
    EXPECT_EQ(parse_share("1.0%").value_or(-1), 10);
    for (const char* const text :
         {"", "%", "1", "10", "0.05%", "1.%", ".5%", "-1%", "+1%", "100.1%", "101%", "1 %", "1%%"})
        EXPECT_FALSE(parse_share(text).ok()) << text;
}

TEST(CheckName, IsAHostLabel) {
    for (const char* text : {"a", "web", "orders-worker", "a1"})
        EXPECT_TRUE(check_name(text).ok()) << text;
    for (const char* text : {"", "1a", "Web", "a_b", "-a", "a-", "a.b", "a/b", ".."}) {
        EXPECT_FALSE(check_name(text).ok()) << text;
    }
    EXPECT_FALSE(check_name(std::string(64, 'a')).ok());
}

TEST(EditDistance, CountsOneSwapAsOne) {
    EXPECT_EQ(edit_distance("public", "pubilc"), 1U);
    EXPECT_EQ(edit_distance("calls", "call"), 1U);
    EXPECT_EQ(edit_distance("", "abc"), 3U);
    EXPECT_EQ(edit_distance("same", "same"), 0U);
}

}  // namespace
}  // namespace thole
