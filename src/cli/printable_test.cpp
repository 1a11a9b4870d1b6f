// What a terminal is shown: harmless, aligned, and in this place's time.
#include <gtest/gtest.h>

#include "cli/moments.h"
#include "cli/printable.h"
#include "cli/scripted_test.h"
#include "cli/table.h"

namespace thole::cli {
namespace {

// A service that logs what its users send must not be able to type into the operator's shell.
TEST(Printable, ControlCharactersAreShownAndNotSent) {
    EXPECT_EQ(printable("a\x1b]0;title\x07z"), "a\\x1b]0;title\\x07z");
    EXPECT_EQ(printable("one\rtwo\nthree\b"), "one\\x0dtwo\\x0athree\\x08");
    EXPECT_EQ(printable("\x1b[2J"), "\\x1b[2J");
    EXPECT_EQ(printable("\xc2\x9b"
                        "2J"),
              "\\x9b2J");  // CSI as one character of C1.
    EXPECT_EQ(printable("\x7f"), "\\x7f");
    EXPECT_EQ(printable("user\xe2\x80\xae"
                        "gpj.exe"),
              "user\\u202egpj.exe");
}

TEST(Printable, ColoursAreLeftOutAndTabsAndWordsStay) {
    EXPECT_EQ(printable("\x1b[1;32mok\x1b[0m\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa3"),
              "ok\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa3");
    EXPECT_EQ(printable("\x1b[1;3"), "\\x1b[1;3");
}

TEST(Printable, BytesThatAreNoUtf8BecomeOneReplacementEach) {
    const std::string bad = "\xef\xbf\xbd";
    EXPECT_EQ(printable("a\xff"
                        "b"),
              "a" + bad + "b");
    EXPECT_EQ(printable("\xc0\xaf"), bad + bad);            // Overlong.
    EXPECT_EQ(printable("\xed\xa0\x80"), bad + bad + bad);  // A surrogate.
    EXPECT_EQ(printable("\xe2\x82"), bad + bad);            // Cut short.
    EXPECT_EQ(printable("\xf5\x80\x80\x80"), bad + bad + bad + bad);
}

TEST(Printable, KnowsUtf8) {
    EXPECT_TRUE(is_utf8(""));
    EXPECT_TRUE(is_utf8("caf\xc3\xa9 \xf0\x9f\x9a\xa3"));
    for (const char* bad : {"caf\xe9", "\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80"})
        EXPECT_FALSE(is_utf8(bad)) << bad;
}

TEST(Printable, AWordIsQuotedWhereAShellWouldReadMoreIntoIt) {
    EXPECT_EQ(for_shell("/srv/shop-2/.thole"), "/srv/shop-2/.thole");
    EXPECT_EQ(for_shell("/srv/my project"), "'/srv/my project'");
    EXPECT_EQ(for_shell("$(reboot)"), "'$(reboot)'");
    EXPECT_EQ(for_shell("it's"), "'it'\\''s'");
    EXPECT_EQ(for_shell(""), "''");
}

TEST(Printable, SeveralLinesStayLinesAndAreIndented) {
    EXPECT_EQ(printable_lines("a\nb\x07\n"), "a\n  b\\x07");
}

TEST(Table, AlignsByCharactersAndLeavesOutWhatSaysNothing) {
    const Table table{.head = {"NAME", "HELD", "WHY"},
                      .rows = {{"caf\xc3\xa9s", "", "x"}, {"a", "", ""}}};
    EXPECT_EQ(lay_out(table, kAnyWidth), "NAME   WHY\ncaf\xc3\xa9s  x\na\n");
}

TEST(Table, CutsTheLastColumnWhereTheTerminalEnds) {
    const Table table{.head = {"NAME", "WHY"}, .rows = {{"web", "exited with status 1"}}};
    EXPECT_EQ(lay_out(table, 20), "NAME  WHY\nweb   exited with s…\n");
    EXPECT_EQ(columns_of("web   exited with s…"), 20U);
    EXPECT_EQ(lay_out(table, 3), "NAME  WHY\nweb   exited …\n");  // Never to nothing.
}

TEST(Moments, TimesAreReadBackAsTheyAreWritten) {
    for (const std::int64_t milli : {0LL, 1'795'669'923'120LL, 951'868'799'999LL}) {
        const WallTime time = wall_from_nanoseconds(milli * 1'000'000);
        EXPECT_EQ(read_wall(format_wall(time)), time) << format_wall(time);
    }
    for (const char* bad :
         {"", "2026-11-24", "2026-02-30T00:00:00.000Z", "2026-11-24T25:00:00.000Z",
          "2026-11-24T05:1x:03.120Z", "9999-11-24T05:12:03.120Z"}) {
        EXPECT_FALSE(read_wall(bad).has_value()) << bad;
    }
}

TEST(Moments, PeopleReadTheClockOfTheirPlace) {
    ScriptedOutside outside;  // One hour east.
    EXPECT_EQ(clock_of(outside, "2026-11-24T23:03:07.000Z"), "00:03:07");
    EXPECT_EQ(date_and_clock_of(outside, "2026-11-24T23:03:07.000Z"), "2026-11-25 00:03:07");
    EXPECT_EQ(clock_of(outside, "soon\x07"), "soon\\x07");
    EXPECT_EQ(age_of(outside, "2999"), "");
}

}  // namespace
}  // namespace thole::cli
