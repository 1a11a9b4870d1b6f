// `thole timeline`.
#include <fmt/format.h>

#include "base/json.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/moments.h"
#include "cli/printable.h"
#include "cli/service_argument.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kLimit = 100;
constexpr std::int64_t kLimitMax = 1'000'000;
constexpr Duration kTimelinePause = 100ms;

std::string line_of(Client& client, const Json& entry) {
    const auto text = [&](std::string_view key) { return entry.text_at(key).value_or({}); };
    const std::string instance = text("instance");
    const std::string whom = instance.empty() ? text("service") : instance;
    return fmt::format("{}  {:<12} {:<18} {}", date_and_clock_of(client.outside(), text("time")),
                       printable(whom.empty() ? "-" : whom), printable(text("kind")),
                       printable(text("text")));
}

Result<TimelineQuery> query_of(const Arguments& arguments) {
    const std::string service = TRY(service_of(arguments));
    std::int64_t limit = kLimit;
    if (arguments.has("limit")) {
        Result<std::int64_t> read = parse_integer(arguments.value("limit"), 1, kLimitMax);
        if (!read.ok()) {
            return std::move(read).error().within("--limit").with_hint("thole timeline --limit 20");
        }
        limit = *read;
    }
    return TimelineQuery{.newest = limit, .service = service};
}

Result<int> follow(Client& client, Console& console, const TimelineQuery& query) {
    if (!client.is_there()) return client.nothing_runs();
    // So that a daemon which does not answer is an error and no silence.
    TRY(client.get("/api/v1/version"));
    TimelineFollow timeline(client, query, [&](const Json& entry, std::string_view json) {
        console.data(console.is_json() ? std::string(json) : line_of(client, entry));
    });
    while (!client.outside().is_interrupted()) {
        if (!client.is_there()) {
            console.talk("thole has ended, and with it the services");
            break;
        }
        TRY(timeline.refused());
        client.pause(kTimelinePause);
        timeline.tend();
    }
    return kServing;
}

}  // namespace

Result<int> timeline(const Arguments& arguments, Client& client, Console& console) {
    const TimelineQuery query = TRY(query_of(arguments));
    if (arguments.has("follow")) return follow(client, console, query);
    const std::string body = TRY(client.get(target_of(query)));
    const Json read = TRY(read_answer(body));
    const Json* const entries = read.find("entries");
    if (entries == nullptr || entries->array() == nullptr) {
        return corrupt("the answer of thole's control has no entries");
    }
    if (console.is_json()) {
        JsonWriter w;
        w.begin_object().member("format", 1).key("timeline").raw(body).end_object();
        console.data(w.take());
        return kServing;
    }
    std::string out;
    for (const Json& entry : *entries->array()) out += line_of(client, entry) + "\n";
    console.data(out);
    if (out.empty()) console.talk("nothing has happened yet\n  try: thole up");
    return kServing;
}

}  // namespace thole::cli
