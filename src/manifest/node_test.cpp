#include "manifest/node.h"

#include <gtest/gtest.h>

namespace thole::manifest {
namespace {

using Kind = Node::Kind;

// `no` was Norway, `on` a switch and 1_000 a number once too often.
TEST(CoreSchema, TypesOnlyWhatYaml12Types) {
    const std::pair<Kind, std::vector<const char*>> table[] = {
        {Kind::Null, {"", "~", "null", "Null", "NULL"}},
        {Kind::Boolean, {"true", "True", "TRUE", "false", "False", "FALSE"}},
        {Kind::Integer, {"0", "-1", "+12", "007", "0o17", "0xfF"}},
        {Kind::Float,
         {"1.", ".5", "-0.5", "1e3", "1.5E-3", "+1.e+3", ".inf", "-.INF", "+.Inf", ".nan"}},
        {Kind::Text, {"no",    "yes", "on",    "off", "y",   "n",       "nULL",      "tRUE",
                      "1_000", "0b1", "0o8",   "0o",  "0x",  "0xg",     "-0x1",      "1:20",
                      "2..8",  ".",   "-",     "+",   "1e",  "e3",      "1.5.",      "-.",
                      ".e3",   "inf", "-.nan", "1 2", "30s", "1.2.3.4", "2026-11-24"}}};
    for (const auto& [kind, texts] : table) {
        for (const char* text : texts) EXPECT_EQ(kind_of_plain(text), kind) << text;
    }
}

TEST(ReadTree, KnowsThePlaceOfEachKeyAndValue) {
    Findings findings;
    const auto root = read_tree("# first\nä: {b: [1, 'x']}\nc:\n  - ö: d\n", findings);
    ASSERT_TRUE(root.has_value());
    ASSERT_EQ(root->children.size(), 2u);
    const auto expect_place = [](Place place, int line, int column) {
        EXPECT_EQ(place.line, line);
        EXPECT_EQ(place.column, column);
    };
    const Node& first = root->children[0];
    expect_place(first.key_place, 2, 1);
    expect_place(first.place, 2, 4);  // Characters, not bytes.
    const Node* list = first.find("b");
    ASSERT_NE(list, nullptr);
    expect_place(list->children.at(1).place, 2, 12);
    EXPECT_TRUE(list->children.at(1).is_quoted);
    const Node& item = root->children[1].children.at(0);
    expect_place(item.children.at(0).key_place, 4, 5);
    expect_place(item.children.at(0).place, 4, 8);
}

TEST(ReadTree, TakesQuotedScalarsAsTexts) {
    Findings findings;
    const auto block = read_tree("- '1'\n- \"true\"\n- |-\n  2\n", findings);
    ASSERT_TRUE(block.has_value());
    for (const Node& item : block->children) EXPECT_EQ(item.kind, Kind::Text) << item.text;
}

TEST(ReadTree, PointsAtATabAndNotAtWhatFollows) {
    const std::pair<const char*, int> table[] = {
        {"a:\n\tb: 1\n", 2}, {"a:\n  b: 1\n\tc: 2\n", 3}, {"a:\n  - b\n  \t- c\n", 3}};
    for (const auto& [text, line] : table) {
        Findings findings;
        EXPECT_FALSE(read_tree(text, findings).has_value()) << text;
        const std::vector<Finding> found = findings.take();
        ASSERT_EQ(found.size(), 1u) << text;
        EXPECT_EQ(found[0].line, line);
        EXPECT_EQ(found[0].message, "a tab cannot indent");
    }
    Findings findings;
    EXPECT_TRUE(read_tree("a:\tb\nd: [e,\tf]\n", findings).has_value());
}

TEST(Shown, NeverSendsControlBytesOrHalfACharacter) {
    EXPECT_EQ(shown("a\x1b[1m\n"), "'a?[1m?'");
    const std::string fiftynine(59, 'a');
    EXPECT_EQ(shown(fiftynine + "äb"), "'" + fiftynine + "…'");
    EXPECT_EQ(shown(fiftynine + "b"), "'" + fiftynine + "b'");
}

}  // namespace
}  // namespace thole::manifest
