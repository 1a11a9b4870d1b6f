// Asks one instance, again and again, whether it is ready: by its path where the manifest has one,
// else by what it answers at /readyz, /healthz and /up, else by its port being open.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "env/env.h"
#include "web/client.h"

namespace thole::control {

class Probe {
public:
    // `answered` comes after each round, with success or why it is not ready. It may destroy the
    // probe.
    Probe(env::Env& env, std::uint16_t port, std::string path,
          std::function<void(const Status&)> answered);
    Probe(const Probe&) = delete;

private:
    void round();
    void ask(std::size_t guess);
    void heard(std::size_t guess, const Result<web::Response>& answer);
    void conclude(Status status);

    env::Env& env_;
    std::uint16_t port_;
    std::string path_;
    std::function<void(const Status&)> answered_;
    std::unique_ptr<web::Exchange> exchange_;
    Duration pause_;
    env::Timer again_;
};

}  // namespace thole::control
