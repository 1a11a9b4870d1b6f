#include "cli/follow.h"

#include <fmt/format.h>

#include "cli/moments.h"
#include "cli/printable.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

constexpr Duration kSystemPoll = 150ms;  // Of the system's state, while somebody waits for it.
constexpr Duration kBeginAgain = 200ms;  // After a stream broke.

std::string text_at(const Json& entry, std::string_view key) {
    return entry.text_at(key).value_or({});
}

Colour colour_of(std::string_view kind) {
    const auto has = [&](std::string_view word) { return kind.find(word) != kind.npos; };
    if (has("ready") || has("done") || has("serving")) return Colour::Green;
    if (has("fail") || has("broken") || has("reversed") || has("trouble")) return Colour::Red;
    if (has("exit") || has("ended") || has("waiting") || has("killed")) return Colour::Yellow;
    return Colour::Cyan;
}

}  // namespace

TimelineFollow::TimelineFollow(Client& client, TimelineQuery query, OnEntry on_entry)
    : client_(client), query_(std::move(query)), on_entry_(std::move(on_entry)) {
    tend();
}

void TimelineFollow::tend() {
    if (stream_ != nullptr && !stream_->ended()) return;
    const Time now = client_.outside().env().clock.now();
    if (stream_ != nullptr && stream_->is_refused()) return;
    if (stream_ != nullptr) {
        stream_ = nullptr;
        again_at_ = now + kBeginAgain;
    }
    if (now < again_at_ || !client_.is_there()) return;
    stream_ = std::make_unique<LineStream>(client_, target_of(query_) + "&watch=1",
                                           [this](std::string_view line) { take(line); });
}

Status TimelineFollow::refused() const {
    return stream_ != nullptr && stream_->is_refused() ? *stream_->ended() : success();
}

std::string target_of(const TimelineQuery& query) {
    std::string target = fmt::format("/api/v1/timeline?after={}", query.after);
    if (query.newest > 0) target += fmt::format("&limit={}", query.newest);
    if (!query.service.empty()) target += "&service=" + percent_encoded(query.service);
    return target;
}

void TimelineFollow::take(std::string_view line) {
    const Result<Json> entry = parse_json(line);
    if (entry.ok()) hand_on(*entry, line);
}

void TimelineFollow::catch_up() {
    const Result<std::string> body = client_.get(target_of(query_));
    if (!body.ok()) return;
    const Result<Json> read = parse_json(*body);
    const Json* const entries = read.ok() ? read->find("entries") : nullptr;
    if (entries == nullptr || entries->array() == nullptr) return;
    // Only for people: what is read twice is not written as it came.
    for (const Json& entry : *entries->array()) hand_on(entry, {});
}

void TimelineFollow::hand_on(const Json& entry, std::string_view json) {
    const std::int64_t sequence = entry.integer_at("sequence").value_or(0);
    if (sequence <= query_.after) return;
    query_.after = sequence;
    query_.newest = 0;  // From here on none may be left out, also after a break.
    on_entry_(entry, json);
}

Result<std::int64_t> last_sequence(Client& client) {
    const std::string body = TRY(client.get("/api/v1/timeline?limit=1"));
    const Json read = TRY(read_answer(body));
    const Json* const entries = read.find("entries");
    if (entries == nullptr || entries->array() == nullptr || entries->array()->empty()) return 0;
    return entries->array()->back().integer_at("sequence");
}

std::string told(Client& client, const Console& console, const Json& entry) {
    const std::string instance = text_at(entry, "instance");
    const std::string service = instance.empty() ? text_at(entry, "service") : instance;
    const std::string kind = text_at(entry, "kind");
    std::string what = text_at(entry, "text");
    if (what.empty()) what = fmt::format("{} {}", kind, text_at(entry, "instance"));
    // "web: web-17.2 is ready" says one thing twice.
    const bool names_it = service.empty() || what.compare(0, service.size(), service) == 0;
    const std::string whom = names_it ? std::string() : printable(service) + ": ";
    return fmt::format("{} {}{}", clock_of(client.outside(), text_at(entry, "time")),
                       console.paint(Channel::Talk, colour_of(kind), whom), printable(what));
}

Result<Waited> wait_until_settled(Client& client, Console& console, const Waiting& waiting) {
    env::Clock& clock = client.outside().env().clock;
    const Time until = waiting.limit == kForever ? Time::max() : clock.now() + waiting.limit;
    TimelineFollow follow(
        client, {.after = waiting.after},
        [&](const Json& entry, std::string_view) { console.talk(told(client, console, entry)); });
    Waited waited;
    while (true) {
        if (!client.is_there()) {
            waited.ended = Ended::Gone;
            return waited;
        }
        const std::string body = TRY(client.get("/api/v1/system"));
        waited.system = TRY(read_system(body));
        if (waited.system.is_settled && waiting.is_reached(waited.system)) break;
        if (client.outside().is_interrupted()) {
            waited.ended = Ended::Interrupted;
            return waited;
        }
        if (clock.now() >= until) {
            waited.ended = Ended::TimedOut;
            break;
        }
        client.pause(std::min(kSystemPoll, until - clock.now()));
        follow.tend();
    }
    follow.catch_up();
    return waited;
}

Result<Ended> watch_on(Client& client, Console& console) {
    const std::int64_t after = TRY(last_sequence(client));
    TimelineFollow follow(client, {.after = after}, [&](const Json& entry, std::string_view) {
        console.talk(told(client, console, entry));
    });
    while (client.is_there()) {
        if (client.outside().is_interrupted()) return Ended::Interrupted;
        TRY(follow.refused());
        client.pause(kSystemPoll);
        follow.tend();
    }
    return Ended::Gone;
}

}  // namespace thole::cli
