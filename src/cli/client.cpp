#include "cli/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "web/server.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

constexpr Duration kTurn = 100ms;       // Nothing is late by it: what arrives ends the wait.
constexpr Duration kAskAgain = 50ms;    // control needs 100 ms and more to come back.
constexpr Duration kAnswerLimit = 5s;   // What is only read is there in milliseconds.
constexpr Duration kChangeLimit = 30s;  // A manifest of many files is checked and synced.
// keeper ends a control that does not turn for 5 s; watch may have to end that keeper first.
constexpr Duration kStandsStill = 10s;

}  // namespace

bool Client::is_there() {
    return places_.is_known() && outside_.env().files.exists(places_.api_socket());
}

Result<std::string> Client::get(const std::string& target) {
    return ask_again(web::Request{.method = "GET", .target = target});
}

Result<std::string> Client::put(const std::string& target, const std::string& body) {
    return ask_again(web::Request{.method = "PUT",
                                  .target = target,
                                  .fields = {{"content-type", "application/json"}},
                                  .body = body});
}

Result<std::string> Client::remove(const std::string& target) {
    return ask_again(web::Request{.method = "DELETE", .target = target});
}

Result<std::string> Client::post(const std::string& target, const std::string& body) {
    // So that what is asked once meets a control that is there.
    TRY(get("/api/v1/version"));
    const std::optional<web::Response> response =
        ask_once(web::Request{.method = "POST",
                              .target = target,
                              .fields = {{"content-type", "application/json"}},
                              .body = body});
    if (response) return body_of(*response);
    return unavailable("no answer came, so it may or may not have been done: " + why_.message)
        .with_hint("thole timeline");
}

std::unique_ptr<web::Exchange> Client::open_stream(const std::string& target,
                                                   web::ExchangeEvents events) {
    env::Env& env = outside_.env();
    return web::start_exchange(env, env.network.connect_unix(places_.api_socket()),
                               web::Request{.target = target},
                               {.limits = {.whole = kForever, .body_bytes_max = ~std::size_t{0}},
                                .events = std::move(events)});
}

Error Client::unreachable(const Error& why) const {
    if (why.code == Code::Denied) {
        return denied(why.message).with_hint("run it as the user who started thole here");
    }
    return unavailable(fmt::format("thole does not answer for {}: {}", places_.folder, why.message))
        .with_hint("thole up");
}

Error Client::nothing_runs() {
    is_answered_ = false;
    return unavailable(fmt::format("nothing runs here yet ({})", places_.folder))
        .with_hint("thole up");
}

void Client::pause(Duration duration) {
    const Time until = outside_.env().clock.now() + duration;
    while (outside_.env().clock.now() < until && !outside_.is_interrupted()) {
        outside_.turn(std::min(kTurn, until - outside_.env().clock.now()));
    }
}

Result<std::string> Client::ask_again(const web::Request& request) {
    const Time begun = outside_.env().clock.now();
    Time until = begun + patience_;
    while (true) {
        if (!is_there()) return nothing_runs();
        std::optional<web::Response> response = ask_once(request);
        // Another one comes.
        if (!response && why_.code == Code::Timeout) until = begun + kStandsStill + patience_;
        const bool may_pass = response ? response->status == 503 : why_.code != Code::Denied;
        const bool gives_up = outside_.env().clock.now() >= until || outside_.is_interrupted();
        if (response && (!may_pass || gives_up)) return body_of(std::move(*response));
        if (!may_pass || gives_up) return unreachable(why_);
        pause(kAskAgain);
    }
}

std::optional<web::Response> Client::ask_once(const web::Request& request) {
    env::Env& env = outside_.env();
    std::optional<Result<web::Response>> answer;
    const std::unique_ptr<web::Exchange> exchange = web::start_exchange(
        env, env.network.connect_unix(places_.api_socket()), request,
        {.limits = {.whole = request.method == "GET" ? kAnswerLimit : kChangeLimit},
         .events = {.done = [&](Result<web::Response> came) { answer = std::move(came); }}});
    while (!answer) outside_.turn(kTurn);
    is_answered_ = answer->ok();
    if (answer->ok()) return std::move(*answer).value();
    why_ = answer->error();
    return std::nullopt;
}

Result<std::string> Client::body_of(web::Response response) {
    if (200 <= response.status && response.status < 300) return std::move(response.body);
    return web::error_of(response.status, response.body);
}

Result<Json> read_answer(std::string_view body) {
    Result<Json> read = parse_json(body);
    if (read.ok()) return read;
    return corrupt("thole's control answers what is no JSON: " + read.error().message)
        .with_hint("thole version");
}

std::string percent_encoded(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool is_plain = ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') ||
                              ('0' <= c && c <= '9') || c == '-' || c == '.' || c == '_' ||
                              c == '~';
        out += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

}  // namespace thole::cli
