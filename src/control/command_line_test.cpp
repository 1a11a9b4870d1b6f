#include "control/command_line.h"

#include <gtest/gtest.h>

namespace thole::control {
namespace {

const model::Command kNpmStart{{"npm start"}, true};

TEST(NpmStart, IsTheScriptItself) {
    const model::Command script = without_npm(kNpmStart, R"({"scripts": {"start": "next start"}})");
    EXPECT_EQ(script.words, std::vector<std::string>{"next start"});
    EXPECT_TRUE(script.is_shell);
    EXPECT_EQ(npm_search_path("/r/v1").substr(0, 27), "/r/v1/node_modules/.bin:/us");
}

// What npm would run beside it is not left out without a word.
TEST(NpmStart, StaysWhereThereIsMoreToItOrNothing) {
    for (const char* package :
         {R"({"scripts": {"start": "x", "prestart": "y"}})",
          R"({"scripts": {"start": "x", "poststart": "y"}})", R"({"scripts": {}})", "{}", "no"})
        EXPECT_EQ(without_npm(kNpmStart, package).words, kNpmStart.words) << package;
}

}  // namespace
}  // namespace thole::control
