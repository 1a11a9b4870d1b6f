// `thole fault`: hurts what a service is asked, on purpose and for a while.
#include <fmt/format.h>

#include "base/json.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "cli/printable.h"
#include "cli/service_argument.h"
#include "cli/table.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kFaults = "/api/v1/faults";
constexpr std::string_view kTry = "thole fault web --delay 200ms --share 10% --for 30s";

std::int64_t milliseconds(Duration duration) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

Result<std::int64_t> read_share(std::string_view text) {
    const Result<std::int64_t> share = parse_share(text);
    if (share.ok() && *share > 0) return share;
    return invalid(fmt::format("--share: '{}' is not a share", text))
        .with_hint("--share 10%, or --share 0.1% at least");
}

// Bytes a second of "10Ki/s".
Result<std::int64_t> parse_rate(std::string_view option, std::string_view text) {
    if (!text.ends_with("/s"))
        return invalid(fmt::format("--{}: '{}' is not a rate", option, text))
            .with_hint(fmt::format("--{} 10Ki/s", option));
    return parse_size(text.substr(0, text.size() - 2));
}

// What is done, of which there is one.
Status write_act(JsonWriter& json, const Arguments& arguments) {
    std::string_view kind;
    int acts = 0;
    for (const auto& [option, name] :
         {std::pair{"delay", "delay"}, std::pair{"abort", "abort"}, std::pair{"reset", "reset"},
          std::pair{"hang", "hang"}, std::pair{"rate", "slow-body"},
          std::pair{"bandwidth", "bandwidth"}, std::pair{"partition", "partition"}}) {
        if (!arguments.has(option)) continue;
        kind = name;
        ++acts;
    }
    if (acts != 1)
        return invalid(
                   "a fault is one of --delay, --abort, --reset, --hang, --rate, --bandwidth "
                   "and --partition")
            .with_hint(kTry);
    if (kind == "partition" && !arguments.has("caller"))
        return invalid("--partition needs --caller")
            .with_hint("thole fault db --partition --caller web --for 30s");
    json.member("kind", kind);
    if (kind == "delay") {
        json.member("delay_ms", milliseconds(TRY(arguments.duration("delay", 0ms))));
        json.member("jitter_ms", milliseconds(TRY(arguments.duration("jitter", 0ms))));
    }
    if (kind == "abort")
        json.member("status", TRY(parse_integer(arguments.value("abort"), 400, 599)));
    if (kind == "slow-body") json.member("rate", TRY(parse_rate("rate", arguments.value("rate"))));
    if (kind == "bandwidth")
        json.member("rate", TRY(parse_rate("bandwidth", arguments.value("bandwidth"))));
    return success();
}

Status write_whom(JsonWriter& json, const Arguments& arguments) {
    const bool is_partition = arguments.has("partition");
    if (!is_partition && !arguments.has("share"))
        return invalid("how many are hurt has to be said").with_hint(kTry);
    std::int64_t share = 1000;
    if (arguments.has("share")) share = TRY(read_share(arguments.value("share")));
    json.member("share", share);
    if (is_partition || arguments.has("whole")) json.member("whole", true);
    if (arguments.has("caller")) json.member("caller", arguments.value("caller"));
    if (arguments.has("release")) json.member("release", arguments.value("release"));
    if (arguments.has("instance")) json.member("instance", arguments.value("instance"));
    if (arguments.has("header")) {
        const std::string field = arguments.value("header");
        const std::size_t equals = field.find('=');
        if (equals == 0 || equals == std::string::npos)
            return invalid("--header: must be a name and a value").with_hint("--header X-Test=1");
        json.member("field", field.substr(0, equals)).member("value", field.substr(equals + 1));
    }
    return success();
}

Result<int> begin(const Arguments& arguments, Client& client, Console& console) {
    if (arguments.positionals.empty()) return invalid("which service?").with_hint(kTry);
    if (!arguments.has("for"))
        return invalid("how long it lasts has to be said, at most 1h").with_hint(kTry);
    JsonWriter json;
    json.begin_object().member("service", arguments.positionals[0]);
    TRY(write_act(json, arguments));
    TRY(write_whom(json, arguments));
    json.member("for_ms", milliseconds(TRY(arguments.duration("for", 0ms))));
    if (arguments.has("why")) json.member("why", arguments.value("why"));
    const std::string answer = TRY(client.post(std::string(kFaults), json.end_object().take()));
    const Json read = TRY(read_answer(answer));
    const std::int64_t id = TRY(read.integer_at("id"));
    console.talk(fmt::format("fault {} is on and ends after {}; sooner: thole fault --stop {}", id,
                             arguments.value("for"), id));
    if (console.is_json()) console.data(fmt::format("{{\"format\":1,\"id\":{}}}\n", id));
    return 0;
}

std::string text(const Json& from, std::string_view key) {
    return printable(from.text_at(key).value_or(""));
}

Result<int> list(Client& client, Console& console) {
    const std::string body = TRY(client.get(std::string(kFaults)));
    const Json answer = TRY(read_answer(body));
    if (console.is_json()) {
        // Behind the first brace of what control said.
        console.data("{\"format\":1," + body.substr(1) + "\n");
        return 0;
    }
    const Json* const faults = answer.find("faults");
    Table table{.head = {"FAULT", "SERVICE", "STATE", "WHAT", "HURT", "OF", "BY"}, .rows = {}};
    if (faults != nullptr && faults->array() != nullptr) {
        for (const Json& fault : *faults->array()) {
            const auto number = [&](std::string_view key) {
                return fmt::format("{}", fault.integer_at(key).value_or(0));
            };
            const std::string ended = text(fault, "ended");
            table.rows.push_back({number("id"), text(fault, "service"),
                                  fault.boolean_at("on").value_or(false) ? "on" : "over",
                                  text(fault, "text") + (ended.empty() ? "" : "; ended: " + ended),
                                  number("hurt"), number("matched"), text(fault, "by")});
        }
    }
    if (table.rows.empty()) {
        console.talk("there was no fault");
    } else {
        console.data(lay_out(table, console.width()));
    }
    return 0;
}

void tell_ended(Console& console, int count) {
    console.talk(fmt::format("faults ended: {}", count));
    if (console.is_json()) console.data(fmt::format("{{\"format\":1,\"ended\":{}}}\n", count));
}

Status stop(Client& client, std::int64_t id) {
    TRY(client.remove(fmt::format("{}/{}", kFaults, id)));
    return success();
}

Result<int> stop_all(Client& client, Console& console) {
    const std::string body = TRY(client.get(std::string(kFaults)));
    const Json answer = TRY(read_answer(body));
    const Json* const faults = answer.find("faults");
    int count = 0;
    if (faults != nullptr && faults->array() != nullptr) {
        for (const Json& fault : *faults->array()) {
            if (!fault.boolean_at("on").value_or(false)) continue;
            const std::int64_t id = TRY(fault.integer_at("id"));
            TRY(stop(client, id));
            ++count;
        }
    }
    tell_ended(console, count);
    return 0;
}

}  // namespace

Result<int> fault(const Arguments& arguments, Client& client, Console& console) {
    if (arguments.has("list")) return list(client, console);
    if (arguments.has("all")) return stop_all(client, console);
    if (!arguments.has("stop")) return begin(arguments, client, console);
    const std::int64_t id = TRY(parse_integer(arguments.value("stop"), 1, 0xffffffff));
    TRY(stop(client, id));
    tell_ended(console, 1);
    return 0;
}

}  // namespace thole::cli
