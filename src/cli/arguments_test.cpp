// Words of the command line: what is read, what is refused, and what is said then.
#include <gtest/gtest.h>

#include "cli/arguments.h"
#include "cli/commands.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

std::string refusal(const std::vector<std::string>& words) {
    const Result<Arguments> read = read_arguments(words);
    return read.ok() ? "read" : read.error().text();
}

TEST(Arguments, OptionsStandBeforeAndAfterTheCommandInEachForm) {
    const Arguments read =
        read_arguments({"--json", "logs", "web", "-f", "--since=10m", "-n", "5"}).value();
    EXPECT_EQ(read.command, "logs");
    EXPECT_EQ(read.positionals, std::vector<std::string>{"web"});
    EXPECT_TRUE(read.has("json") && read.has("follow") && !read.has("quiet"));
    EXPECT_EQ(read.value("lines"), "5");
    EXPECT_EQ(read.duration("since", 0s).value(), 10min);
    EXPECT_EQ(read.duration("timeout", 7s).value(), 7s);
}

TEST(Arguments, AfterTwoDashesEverythingIsAWord) {
    const Arguments read = read_arguments({"logs", "--", "-f"}).value();
    EXPECT_EQ(read.positionals, std::vector<std::string>{"-f"});
    EXPECT_FALSE(read.has("follow"));
}

TEST(Arguments, HelpIsFoundInAllItsForms) {
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
             {"help", "ps"}, {"ps", "--help"}, {"--help", "ps"}, {"ps", "-h"}}) {
        const Arguments read = read_arguments(words).value();
        EXPECT_EQ(read.command, "help");
        EXPECT_EQ(read.positionals, std::vector<std::string>{"ps"});
    }
    EXPECT_EQ(read_arguments({}).value().command, "help");
    EXPECT_EQ(read_arguments({"--version"}).value().command, "version");
    // scale --help is asked by somebody who does not know its words yet.
    EXPECT_EQ(read_arguments({"scale", "--help"}).value().command, "help");
}

TEST(Arguments, ARefusalNamesTheWordAndWhatToTry) {
    EXPECT_EQ(refusal({"ps", "--jsno"}), "thole ps has no option '--jsno'\n  try: thole ps --json");
    EXPECT_EQ(refusal({"ps", "-f"}), "thole ps has no option '-f'\n  try: thole help ps");
    EXPECT_EQ(refusal({"up", "--to", "prod"}), "not yet: --to is not built\n  try: thole help up");
    EXPECT_EQ(refusal({"ps", "--watch"}), "not yet: --watch is not built\n  try: thole help ps");
    EXPECT_EQ(refusal({"up", "--timeout"}),
              "--timeout needs a value: <duration>\n  try: thole up --timeout <duration>");
    EXPECT_EQ(refusal({"up", "--prune=yes"}), "--prune takes no value");
    EXPECT_EQ(refusal({"scale", "web"}),
              "thole scale needs more words\n  try: thole scale <service> <n>");
    EXPECT_EQ(refusal({"ps", "web"}), "thole ps knows nothing of 'web'\n  try: thole ps");
    EXPECT_EQ(refusal({"tiemline"}), "'tiemline' is no command of thole\n  try: thole timeline");
    EXPECT_EQ(refusal({"zzz"}), "'zzz' is no command of thole\n  try: thole help");
}

TEST(Arguments, AWordThatIsNotBuiltYetNamesTheNearestThatIs) {
    EXPECT_EQ(refusal({"rollback", "web"}),
              "not yet: thole rollback is not built\n  try: thole up");
    EXPECT_EQ(refusal({"incidents", "--json"}),
              "not yet: thole incidents is not built\n  try: thole timeline");
    EXPECT_EQ(refusal({"help", "plan"}), "read");  // help itself answers.
}

TEST(Arguments, ADurationWithoutItsUnitIsRefused) {
    const Arguments read = read_arguments({"up", "--timeout", "30"}).value();
    const Result<Duration> timeout = read.duration("timeout", 1s);
    ASSERT_FALSE(timeout.ok());
    EXPECT_EQ(timeout.error().message.substr(0, 10), "--timeout:");
    EXPECT_EQ(timeout.error().hint, "thole up --timeout 30s");
}

// What one person can type, the next must be able to read about.
TEST(Arguments, EveryCommandHasAUsageThatBeginsWithItsName) {
    for (const Command& command : all_commands()) {
        EXPECT_EQ(command.usage.substr(0, command.name.size()), command.name);
        EXPECT_FALSE(command.summary.empty()) << command.name;
        EXPECT_NE(command.run, nullptr) << command.name;
    }
}

}  // namespace
}  // namespace thole::cli
