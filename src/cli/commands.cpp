#include "cli/commands.h"

#include <utility>

#include <fmt/format.h>

namespace thole::cli {
namespace {

// Words that the product will have, each with what comes nearest today.
constexpr std::pair<std::string_view, std::string_view> kNotYet[] = {
    {"plan", "up"},
    {"deploy", "up"},
    {"rollback", "up"},
    {"status", "ps"},
    {"top", "ps"},
    {"incidents", "timeline"},
    {"traces", "logs"},
    {"alerts", "timeline -f"},
    {"chaos", "ps"},
    {"rehearse", "up"},
    {"events", "timeline"},
    {"dlq", "timeline"},
    {"secrets", "up"},
    {"policy", "help"},
    {"token", "help"},
    {"audit", "timeline"},
    {"drain", "help scale"},
    {"exec", "ps"},
    {"doctor", "ps"},
    {"init", "up"},
    {"import", "up"},
    {"export", "ps --json"},
    {"explain", "help"},
    {"completion", "help"},
    {"ui", "ps"},
    {"load", "ps"},
    {"drill", "help restart"},
    {"promote", "ps"},
    {"abort", "timeline"},
    {"report", "timeline"},
    {"ci", "up --json"},
    {"move", "up"},
    {"install", "up"},
    {"backup", "help down"},
    {"restore", "up"},
    {"uninstall", "down"},
    {"rescue", "ps"},
};

constexpr OptionSpec kFollow{"follow", 'f', "", "Goes on with what is new, until Ctrl-C"};
constexpr OptionSpec kService{"service", 0, "<name>", "Only this service"};

std::vector<Command> ship() {
    return {
        {.name = "up",
         .usage = "up [--prune] [--detach]",
         .summary = "Runs what thole.yaml says, or brings what runs up to it",
         .story = "Waits until everything serves or has said why it does not, and prints the\n"
                  "addresses. On a terminal it then shows what happens until Ctrl-C, which only\n"
                  "stops the watching. Waits 10m unless --timeout says otherwise.",
         .group = Group::Ship,
         .options = {{"prune", 0, "", "Ends services that are not in the manifest any more"},
                     {"detach", 'd', "", "Returns once everything serves"}},
         .run = up},
        {.name = "restart",
         .usage = "restart <service>",
         .summary = "Replaces every instance of a service by the same release",
         .story = "One after another, as a deploy does: nothing is lost. Waits until it is done.",
         .group = Group::Ship,
         .positionals_min = 1,
         .positionals_max = 1,
         .run = restart},
        {.name = "scale",
         .usage = "scale <service> <n>",
         .summary = "Runs n instances of a service, until the manifest's own number changes",
         .story = "",
         .group = Group::Ship,
         .positionals_min = 2,
         .positionals_max = 2,
         .run = scale},
        {.name = "pause",
         .usage = "pause <service> [--for <duration>]",
         .summary = "Lets the requests of a service wait; its instances go on running",
         .story =
             "For a moment without requests: a database that moves, say. Waits until what was\n"
             "under way has ended, 30s unless --timeout says otherwise. Each request waits 30s\n"
             "at most, and no more than 1000 of them; others are answered 503 with Retry-After.\n"
             "It lasts until thole resume, whatever dies or starts anew meanwhile.",
         .group = Group::Ship,
         .positionals_min = 1,
         .positionals_max = 1,
         .options = {{"for", 0, "<duration>", "Ends by itself after so long: 30s, 5m"}},
         .run = pause},
        {.name = "resume",
         .usage = "resume <service>",
         .summary = "Ends a pause: what waits is served, first come first",
         .story = "",
         .group = Group::Ship,
         .positionals_min = 1,
         .positionals_max = 1,
         .run = resume},
    };
}

std::vector<Command> prove() {
    return {
        {.name = "fault",
         .usage = "fault <service> <what> --share <n%> --for <duration>",
         .summary = "Hurts what a service is asked, on purpose and for a while",
         .story =
             "The edge ends it by its own clock, whoever is dead by then, after 1h at most.\n"
             "All faults of a service hurt half of its requests at most, but for --whole and\n"
             "--partition, and end where a service that they hurt burns the budget of its slo.\n"
             "thole fault --list shows them, with whom they hurt.",
         .group = Group::Prove,
         .positionals_max = 1,
         .options = {{"delay", 0, "<duration>", "Requests wait so long"},
                     {"jitter", 0, "<duration>", "So much more or less, with --delay"},
                     {"abort", 0, "<status>", "Answered so by thole: 400 to 599"},
                     {"reset", 0, "", "The connection is reset"},
                     {"hang", 0, "", "No answer comes, until a limit of time"},
                     {"rate", 0, "<size>/s", "The answer's body comes so slowly: 10Ki/s"},
                     {"bandwidth", 0, "<size>/s", "Both bodies come so slowly"},
                     {"partition", 0, "", "--caller and the service hear nothing of each other"},
                     {"share", 0, "<n%>", "Of the requests that fit: 0.1% to 100%"},
                     {"whole", 0, "", "It may hurt more than half"},
                     {"caller", 0, "<service>", "Only what this service asks"},
                     {"release", 0, "<v>", "Only what goes to this release: v2"},
                     {"instance", 0, "<name>", "Only what goes to this instance: web-17"},
                     {"header", 0, "<name>=<value>", "Only requests with this header"},
                     {"for", 0, "<duration>", "How long it lasts: 30s, 5m"},
                     {"why", 0, "<text>", "For who reads the timeline"},
                     {"list", 0, "", "Shows those that are on, and were lately"},
                     {"stop", 0, "<n>", "Ends this one"},
                     {"all", 0, "", "Ends all of them"}},
         .run = fault},
    };
}

std::vector<Command> see() {
    return {
        {.name = "ps",
         .usage = "ps",
         .summary = "What runs: services, instances, thole's own roles",
         .story = "",
         .run = ps},
        {.name = "logs",
         .usage = "logs [<service>] [-f] [--build] [--since <duration>] [--lines <n>]",
         .summary = "What services wrote to stdout and stderr",
         .story = "",
         .positionals_max = 1,
         .options = {kFollow,
                     kService,
                     {"build", 0, "", "What its last build said"},
                     {"since", 0, "<duration>", "Not what is older than that: 10m, 2h"},
                     {"lines", 'n', "<n>", "The last n of each instance (default: 200)"}},
         .run = logs},
        {.name = "timeline",
         .usage = "timeline [<service>] [-f] [--limit <n>]",
         .summary = "Every change of state, in order, with why",
         .story = "",
         .positionals_max = 1,
         .options = {kFollow, kService, {"limit", 'n', "<n>", "The newest n (default: 100)"}},
         .run = timeline},
        {.name = "metrics",
         .usage = "metrics",
         .summary = "Counts and durations of requests, services and thole itself",
         .story = "In Prometheus' text format, as GET /metrics on the API's socket gives it.",
         .run = metrics},
        {.name = "why",
         .usage = "why <request-id>",
         .summary = "What became of one request: who had it, how long each part took, who answered",
         .story =
             "The id stands in each answer's X-Request-Id; its first 8 digits are enough where\n"
             "they are its alone. A call that a service made with the same id is told, too.",
         .positionals_min = 1,
         .positionals_max = 1,
         .run = why},
    };
}

std::vector<Command> keep() {
    return {
        {.name = "down",
         .usage = "down",
         .summary = "Ends all services, callers first, and then thole itself",
         .story = "State and releases stay; thole up brings everything back.",
         .group = Group::Keep,
         .run = down},
        {.name = "upgrade",
         .usage = "upgrade --edge [--binary <path>]",
         .summary = "Puts the edge that is installed in the place of the one that runs",
         .story = "No connection, request or tunnel notices but by a pause of some milliseconds.\n"
                  "Where the new edge does not start, hangs or dies before it has taken over, the\n"
                  "old one goes on. One whose memory is laid out in another way is refused: it\n"
                  "comes with thole down and thole up, which break what is under way.",
         .group = Group::Keep,
         .options = {{"edge", 0, "", "The edge; nothing else can be upgraded yet"},
                     {"binary", 0, "<path>",
                      "This program; keeper starts the installed one later"}},
         .run = upgrade},
        {.name = "version",
         .usage = "version",
         .summary = "The version of this program, and of the control that runs",
         .story = "",
         .group = Group::Keep,
         .run = version},
        {.name = "help",
         .usage = "help [<command>]",
         .summary = "All commands, or one of them",
         .story = "",
         .group = Group::Keep,
         .positionals_max = 1,
         .run = help},
    };
}

}  // namespace

const std::vector<Command>& all_commands() {
    static const std::vector<Command> commands = [] {
        std::vector<Command> all;
        for (const std::vector<Command>& some : {ship(), see(), prove(), keep()}) {
            all.insert(all.end(), some.begin(), some.end());
        }
        return all;
    }();
    return commands;
}

const Command* find_command(std::string_view name) {
    for (const Command& command : all_commands()) {
        if (command.name == name) return &command;
    }
    return nullptr;
}

Error no_command(std::string_view word) {
    std::vector<std::string_view> names;
    for (const auto& [name, instead] : kNotYet) {
        if (name == word) {
            return invalid(fmt::format("not yet: thole {} is not built", word))
                .with_hint(fmt::format("thole {}", instead));
        }
    }
    for (const Command& command : all_commands()) names.push_back(command.name);
    const std::string near = nearest(word, names);
    return invalid(fmt::format("'{}' is no command of thole", word))
        .with_hint(near.empty() ? "thole help" : fmt::format("thole {}", near));
}

}  // namespace thole::cli
