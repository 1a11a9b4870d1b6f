// Asks the API. Calls return when the answer is there: they turn the loop of Outside meanwhile.
// control may die and come back at any moment; what can be asked again is, for a few seconds.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "cli/outside.h"
#include "cli/places.h"
#include "web/client.h"

namespace thole::cli {

constexpr Duration kControlRestartLimit = std::chrono::seconds(3);  // keeper promises one second.

class Client {
public:
    Client(Outside& outside, Places places) : outside_(outside), places_(std::move(places)) {}
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    Outside& outside() { return outside_; }
    const Places& places() const { return places_; }
    void set_places(Places places) { places_ = std::move(places); }
    // How long to ask again where nobody answers.
    void set_patience(Duration patience) { patience_ = patience; }
    Duration patience() const { return patience_; }

    // Whether there is a socket to ask at; else nothing runs here.
    bool is_there();
    // Whether the last question was answered: then an error is thole's own word.
    bool is_answered() const { return is_answered_; }

    // The body of a 2xx; what the API refused is its own Error. Asked again while control restarts.
    Result<std::string> get(const std::string& target);
    // The same; applying a manifest twice does no harm.
    Result<std::string> put(const std::string& target, const std::string& body);
    // The same; what is gone stays gone.
    Result<std::string> remove(const std::string& target);
    // Asked once: who acts twice where it was meant once does harm.
    Result<std::string> post(const std::string& target, const std::string& body);

    // For streams: an exchange that has no end of its own.
    std::unique_ptr<web::Exchange> open_stream(const std::string& target,
                                               web::ExchangeEvents events);
    // Nobody answers, for this reason.
    Error unreachable(const Error& why) const;
    Error nothing_runs();
    // Turns the loop for so long.
    void pause(Duration duration);

private:
    Result<std::string> ask_again(const web::Request& request);
    // Nothing where no answer came; then the reason is in `why_`.
    std::optional<web::Response> ask_once(const web::Request& request);
    Result<std::string> body_of(web::Response response);

    Outside& outside_;
    Places places_;
    Duration patience_ = kControlRestartLimit;
    Error why_;
    bool is_answered_ = false;
};

// The JSON of an answer; what is none is thole's fault and not its user's.
Result<Json> read_answer(std::string_view body);
// For a path or a query: all but letters, digits and -._~ as %XX.
std::string percent_encoded(std::string_view text);

}  // namespace thole::cli
