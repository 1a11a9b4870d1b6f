#include "base/json.h"

#include <gtest/gtest.h>

#include <string>

namespace thole {
namespace {

TEST(Json, ReadsValuesInOrder) {
    const Json json = parse_json(R"({"b":1,"a":[true,null,"x\n",-2.5]})").value();
    ASSERT_NE(json.object(), nullptr);
    EXPECT_EQ((*json.object())[0].first, "b");
    EXPECT_EQ(json.integer_at("b").value(), 1);
    const Json::Array& list = *json.find("a")->array();
    EXPECT_TRUE(*list[0].boolean());
    EXPECT_TRUE(list[1].is_null());
    EXPECT_EQ(*list[2].text(), "x\n");
    EXPECT_EQ(*list[3].real(), -2.5);
}

// Two readers that pick different ones of two equal keys can be played against each other.
TEST(Json, RefusesWhatTwoReadersCouldUnderstandDifferently) {
    for (const char* text : {R"({"a":1,"a":2})", "", "{", "[1,]", "{'a':1}", "nul", "1 2",
                             "\"\x01\"", "[01]", "\xff"}) {
        EXPECT_FALSE(parse_json(text).ok()) << text;
    }
    EXPECT_FALSE(parse_json(std::string(200, '[') + std::string(200, ']')).ok());
}

// Each held against each other one takes half a minute for these.
TEST(Json, FindsAKeyThatStandsTwiceAmongMany) {
    std::string text = "{";
    for (int i = 0; i < 200'000; ++i) text += '"' + std::to_string(i) + "\":0,";
    EXPECT_TRUE(parse_json(text + "\"last\":0}").ok());
    EXPECT_FALSE(parse_json(text + "\"7\":0}").ok());
}

TEST(Json, AMissingKeyIsNamed) {
    const Json json = parse_json(R"({"a":1})").value();
    EXPECT_NE(json.text_at("name").error().message.find("name"), std::string::npos);
    EXPECT_FALSE(json.text_at("a").ok());
}

TEST(JsonWriter, WritesWhatTheReaderReads) {
    JsonWriter writer;
    writer.begin_object().member("text", "quote \" and \\ and \x01").member("number", -5);
    writer.key("list").begin_array().value(true).null().value(1.5).end_array().end_object();
    const Json back = parse_json(writer.text()).value();
    EXPECT_EQ(back.text_at("text").value(), "quote \" and \\ and \x01");
    EXPECT_EQ(back.find("list")->array()->size(), 3U);
}

// A service may log any bytes; our JSON must stay JSON.
TEST(JsonWriter, BytesThatAreNoUtf8BecomeReplacementCharacters) {
    const std::string text = json_quoted("a\xff\xfe z \xe2\x82");
    EXPECT_TRUE(parse_json(text).ok()) << text;
    EXPECT_NE(text.find("\xef\xbf\xbd"), std::string::npos);
}

}  // namespace
}  // namespace thole
