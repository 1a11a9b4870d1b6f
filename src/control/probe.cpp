#include "control/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "model/defaults.h"

namespace thole::control {
namespace {

constexpr std::array<const char*, 3> kGuesses = {"/readyz", "/healthz", "/up"};
// Of a probe's answer: only its status is looked at.
constexpr std::size_t kAnswerBytesMax = 64 * 1024;
// Quick programs are there in milliseconds; the pause doubles from here to kProbePause.
constexpr Duration kPauseMin = std::chrono::milliseconds(2);

}  // namespace

Probe::Probe(env::Env& env, std::uint16_t port, std::string path,
             std::function<void(const Status&)> answered)
    : env_(env),
      port_(port),
      path_(std::move(path)),
      answered_(std::move(answered)),
      pause_(kPauseMin) {
    again_ = env_.timers.after(Duration::zero(), [this] { round(); });
}

void Probe::round() { ask(0); }

void Probe::ask(std::size_t guess) {
    web::Request request;
    request.target = path_.empty() ? kGuesses[guess] : path_;
    request.host = fmt::format("127.0.0.1:{}", port_);
    web::ExchangeOptions options;
    options.limits = {model::kProbeLimit, kAnswerBytesMax};
    options.events.done = [this, guess](const Result<web::Response>& answer) {
        heard(guess, answer);
    };
    exchange_ = web::start_exchange(env_, env_.network.connect({.port = port_}), request,
                                    std::move(options));
}

void Probe::heard(std::size_t guess, const Result<web::Response>& answer) {
    const std::string target = path_.empty() ? kGuesses[guess] : path_;
    if (!answer) return conclude(Error{answer.error()}.within(target));
    if (answer->status / 100 == 2) return conclude(success());
    // A guess that is not there says nothing; one that answers with an error does.
    const bool is_absent = answer->status == 404 || answer->status == 405 ||
                           answer->status == 501 || answer->status / 100 == 3 ||
                           answer->status == 401 || answer->status == 403;
    if (!path_.empty() || !is_absent)
        return conclude(unavailable(fmt::format("{} answers {}", target, answer->status)));
    // It listens and speaks HTTP: with nothing left to ask that is enough.
    if (guess + 1 >= kGuesses.size()) return conclude(success());
    again_ = env_.timers.after(Duration::zero(), [this, guess] { ask(guess + 1); });
}

void Probe::conclude(Status status) {
    pause_ = std::min<Duration>(pause_ * 2, model::kProbePause);
    again_ = env_.timers.after(pause_, [this] { round(); });
    const std::function<void(const Status&)> answered = answered_;
    answered(status);  // May destroy us.
}

}  // namespace thole::control
