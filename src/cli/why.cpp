// `thole why`.
#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/moments.h"
#include "cli/printable.h"

namespace thole::cli {
namespace {

// One request of the answer. Keys that are missing read as empty.
class RequestView {
public:
    explicit RequestView(const Json& json) : json_(json) {}
    std::string text(std::string_view key) const {
        return printable(json_.text_at(key).value_or({}));
    }
    std::int64_t number(std::string_view key) const { return json_.integer_at(key).value_or(0); }
    bool is(std::string_view key) const { return json_.boolean_at(key).value_or(false); }
    const Json::Array& list(std::string_view key) const {
        static const Json::Array kNone;
        const Json* const found = json_.find(key);
        return found == nullptr || found->array() == nullptr ? kNone : *found->array();
    }

private:
    const Json& json_;
};

std::string time_of(std::int64_t us) {
    if (us < 1'000'000) return fmt::format("{:.1f} ms", static_cast<double>(us) / 1000);
    return format_duration(std::chrono::microseconds(us));
}

std::string end_in_words(const std::string& end) {
    if (end == "refused") return "took no connection";
    if (end == "not_in_time") return "took no connection in time";
    if (end == "was_closed") return "ended its connection from the pool before it answered";
    if (end == "lost") return "went away before it answered";
    if (end == "cut") return "was stopped before it answered";
    if (end == "answered") return "answered 502, 503 or 504";
    if (end == "silent") return "was silent for much longer than is usual";
    return end;
}

std::string outcome_in_words(const std::string& outcome) {
    if (outcome == "client_gone") return "the client left before its answer was whole";
    if (outcome == "reset") return "its instance went away";
    if (outcome == "timed_out") return "it did not go on in time";
    if (outcome == "cut") return "cut at the drain deadline";
    if (outcome == "injected") return "a fault on purpose ended it";
    return outcome;
}

std::string phase_in_words(const std::string& phase) {
    if (phase == "waiting") return "waits for an instance that serves";
    if (phase == "asked") return "its instance has not answered yet";
    if (phase == "answering") return "its answer is being passed on";
    if (phase == "tunnel") return "a tunnel is open";
    return phase;
}

std::string way_of(const RequestView& request) {
    const std::string caller = request.text("caller");
    const std::string client = request.text("client");
    const std::string service = request.text("service");
    const std::string to = service.empty() ? "a service that is not known any more" : service;
    if (!caller.empty()) return fmt::format("{} calls {}", caller, to);
    const std::int64_t port = request.number("port");
    return fmt::format("from outside{}{} to {}", port == 0 ? "" : fmt::format(" by port {}", port),
                       client.empty() ? "" : fmt::format(" ({})", client), to);
}

// "orders-3.1 (v2) with 200", "thole with 503: no instance of this service became ready in time".
std::string end_of(const RequestView& request) {
    const std::string why = request.text("why");
    const std::string because = why.empty() ? "" : ": " + why;
    if (request.is("under_way")) return "under way: " + phase_in_words(request.text("phase"));
    const std::string outcome = request.text("outcome");
    std::string end;
    if (request.text("answered_by") == "thole") {
        end = fmt::format("answered by thole with {}{}", request.number("status"), because);
    } else if (request.text("answered_by") == "instance") {
        end = fmt::format("answered by {} (v{}) with {}", request.text("instance"),
                          request.number("release"), request.number("status"));
    } else {
        return fmt::format("not answered: {}{}", outcome_in_words(outcome), because);
    }
    const bool is_whole = outcome == "success" || outcome == "redirect" ||
                          outcome == "informational" || outcome == "client_error" ||
                          outcome == "server_error";
    if (is_whole || request.text("answered_by") == "thole") return end;
    return fmt::format("{}, but not whole: {}{}", end, outcome_in_words(outcome), because);
}

std::string tries_of(const RequestView& request) {
    std::string out;
    const std::int64_t all = request.number("tries");
    const std::string instance = request.text("instance");
    const Json::Array& ended = request.list("ended_tries");
    const std::int64_t ended_count = all - (instance.empty() ? 0 : 1);
    const auto kept = static_cast<std::int64_t>(ended.size());
    for (std::int64_t i = 0; i < kept; ++i) {
        const RequestView each(ended[static_cast<std::size_t>(i)]);
        // The last place has the newest.
        const bool is_last = i + 1 == kept;
        if (is_last && ended_count > kept)
            out += fmt::format("  tries {} to {}: not kept\n", kept, ended_count - 1);
        out += fmt::format("  try {}: {} {} after {}\n", is_last ? ended_count : i + 1,
                           each.text("instance"), end_in_words(each.text("end")),
                           time_of(each.number("took_us")));
    }
    if (instance.empty()) return out;
    return out + fmt::format("  try {}: {} (v{}), one of {} that served\n", all, instance,
                             request.number("release"), request.number("considered"));
}

// Parts of the whole time, each with what it was spent on.
std::string times_of(const RequestView& request) {
    std::vector<std::string> parts;
    const auto add = [&](std::string_view name, std::int64_t us) {
        parts.push_back(fmt::format("{} {}", name, time_of(std::max<std::int64_t>(0, us))));
    };
    const std::int64_t total = request.number("total_us");
    const std::int64_t attached = request.number("attached_us");
    const std::int64_t connect = request.number("connect_us");
    const std::int64_t answer = request.number("answer_us");
    add("head", request.number("head_us"));
    add("waited", request.number("held_us"));
    if (!request.text("instance").empty()) {
        if (attached > request.number("held_us"))
            add("earlier tries", attached - request.number("held_us"));
        if (answer > 0) {
            add("connect", connect);
            add("answer's head", answer - connect);
            add("body", total - attached - answer);
        } else {
            add("asked", total - attached);
        }
    }
    return fmt::format("  {} in all: {}\n", time_of(request.number("head_us") + total),
                       fmt::join(parts, ", "));
}

std::string story_of(Client& client, const RequestView& request) {
    const std::string target = request.text("request");
    std::string out =
        fmt::format("{}  {}\n", date_and_clock_of(client.outside(), request.text("began")),
                    target.empty() ? "(no request that could be read)" : target);
    out += fmt::format("  {}\n{}", way_of(request), tries_of(request));
    out += fmt::format("  {}\n{}", end_of(request), times_of(request));
    return out + fmt::format("  {} bytes in, {} out\n", request.number("bytes_in"),
                             request.number("bytes_out"));
}

}  // namespace

Result<int> why(const Arguments& arguments, Client& client, Console& console) {
    const std::string body =
        TRY(client.get("/api/v1/requests/" + percent_encoded(arguments.positionals[0])));
    if (console.is_json()) {
        JsonWriter w;
        w.begin_object().member("format", 1).key("why").raw(body).end_object();
        console.data(w.take());
        return kServing;
    }
    const Json read = TRY(read_answer(body));
    const Json* const requests = read.find("requests");
    if (requests == nullptr || requests->array() == nullptr)
        return corrupt("the answer of thole's control has no requests");
    std::string out = fmt::format("request {}\n", printable(read.text_at("id").value_or({})));
    for (const Json& each : *requests->array()) out += story_of(client, RequestView(each));
    console.data(out);
    return kServing;
}

}  // namespace thole::cli
