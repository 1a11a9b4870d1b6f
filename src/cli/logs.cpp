// `thole logs`.
#include <algorithm>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/json.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "cli/line_stream.h"
#include "cli/printable.h"
#include "cli/service_argument.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kLinesMax = 1'000'000;
constexpr Duration kLogsTurn = 100ms;

// One line of the API as a line for people: "web-17  | text".
class LogPrinter {
public:
    explicit LogPrinter(Console& console) : console_(console) {}

    void print(std::string_view line) {
        if (console_.is_json()) {
            console_.data(line);
            return;
        }
        const Result<Json> read = parse_json(line);
        if (!read.ok()) return;
        const std::string instance = printable(read->text_at("instance").value_or({}));
        widest_ = std::max(widest_, columns_of(instance));
        const std::string prefix =
            console_.paint(Channel::Data, colour_of(read->text_at("service").value_or({})),
                           instance + std::string(widest_ - columns_of(instance), ' ') + " |");
        if (const Json* const text = read->find("text"); text != nullptr && text->text()) {
            console_.data(prefix + " " + console_.cleaned(Channel::Data, *text->text()));
        } else if (const Result<std::int64_t> lost = read->integer_at("lost_bytes"); lost.ok()) {
            console_.talk(fmt::format("{}: {} bytes of its std{} are not there any more", instance,
                                      *lost, printable(read->text_at("stream").value_or({}))));
        }
    }

private:
    // The same for a service every time.
    static Colour colour_of(std::string_view service) {
        constexpr Colour kAll[] = {Colour::Cyan, Colour::Green, Colour::Yellow, Colour::Blue,
                                   Colour::Magenta};
        return kAll[fnv1a(service) % std::size(kAll)];
    }
    Console& console_;
    std::size_t widest_ = 0;
};

struct Wanted {
    std::string service;
    std::string lines;  // Empty: as the API sees fit.
    std::string since;
    bool follows = false;
    bool is_of_build = false;
};

std::string target_of(const Wanted& wanted) {
    std::string target = "/api/v1/logs?";
    const auto add = [&](std::string_view name, std::string_view value) {
        if (value.empty()) return;
        target +=
            fmt::format("{}{}={}", target.back() == '?' ? "" : "&", name, percent_encoded(value));
    };
    add("service", wanted.service);
    add("lines", wanted.lines);
    add("since", wanted.since);
    add("follow", wanted.follows ? "1" : "");
    add("build", wanted.is_of_build ? "1" : "");
    return target;
}

Result<Wanted> wanted_of(const Arguments& arguments) {
    Wanted wanted;
    wanted.service = TRY(service_of(arguments));
    wanted.lines = arguments.value("lines");
    wanted.since = arguments.value("since");
    wanted.follows = arguments.has("follow");
    wanted.is_of_build = arguments.has("build");
    if (arguments.has("since")) TRY(arguments.duration("since", 0s));
    if (!arguments.has("lines")) return wanted;
    Result<std::int64_t> lines = parse_integer(wanted.lines, 0, kLinesMax);
    if (!lines.ok()) {
        return std::move(lines).error().within("--lines").with_hint("thole logs --lines 50");
    }
    return wanted;
}

// What was written since then, once a stream broke.
std::string since_text(Duration ago) {
    return print_duration(std::chrono::ceil<std::chrono::milliseconds>(ago) + 1ms);
}

}  // namespace

Result<int> logs(const Arguments& arguments, Client& client, Console& console) {
    Wanted wanted = TRY(wanted_of(arguments));
    // So that a daemon which does not answer is an error and no silence.
    TRY(client.get("/api/v1/version"));
    LogPrinter printer(console);
    env::Clock& clock = client.outside().env().clock;
    Time broken_at{};  // Of the first try in a row that did not succeed.
    bool is_broken = false;
    bool has_begun = false;
    while (true) {
        LineStream stream(client, target_of(wanted),
                          [&](std::string_view line) { printer.print(line); });
        const Time opened_at = clock.now();
        while (!stream.ended() && !client.outside().is_interrupted()) {
            client.outside().turn(kLogsTurn);
        }
        // It ran, though perhaps nobody said anything: then this is a break of its own.
        if (stream.has_begun() || clock.now() - opened_at > client.patience()) is_broken = false;
        if (!stream.ended() || (stream.ended()->ok() && !wanted.follows)) return kServing;
        if (stream.is_refused()) return stream.ended()->error();
        has_begun = has_begun || stream.has_begun();
        if (!client.is_there()) {
            if (!has_begun) return client.nothing_runs();
            console.talk("thole has ended, and with it the services");
            return kServing;
        }
        const Error why = stream.ended()->ok() ? unavailable("it left") : stream.ended()->error();
        if (has_begun && !wanted.follows) {
            return unavailable("control ended before all lines had come: " + why.message)
                .with_hint("thole logs " + wanted.service);
        }
        if (!is_broken) broken_at = clock.now();
        is_broken = true;
        if (clock.now() - broken_at > client.patience()) return client.unreachable(why);
        client.pause(kLogsTurn);
        if (!has_begun) continue;
        console.talk("control restarted: lines of this moment may be missing or come twice");
        wanted.lines = "1000";
        wanted.since = since_text(clock.now() - broken_at);
    }
}

}  // namespace thole::cli
