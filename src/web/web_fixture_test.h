// What the tests of web/ share: a loop on the real kernel with a bound on every wait, and a peer
// that sends and receives bytes as they are.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "os/linux_env.h"

namespace thole::web {

using namespace std::chrono_literals;

class RawPeer {
public:
    explicit RawPeer(std::unique_ptr<env::Stream> stream) : stream_(std::move(stream)) {
        stream_->set_events({.received = [this](std::string_view bytes) { got.append(bytes); },
                             .ended = [this] { is_over = true; },
                             .closed = [this](const Error&) { is_over = true; }});
    }
    env::Stream& stream() { return *stream_; }
    void send(std::string_view bytes) { stream_->write(bytes); }
    // How often this text was received.
    int count(std::string_view text) const {
        int found = 0;
        for (std::size_t at = got.find(text); at != std::string::npos; at = got.find(text, at + 1))
            ++found;
        return found;
    }

    std::string got;
    bool is_over = false;

private:
    std::unique_ptr<env::Stream> stream_;
};

class WebTest : public testing::Test {
protected:
    WebTest() : linux_(loop_), env_(linux_.env()) {}

    // Turns the loop until the condition holds; fails after ten seconds.
    template <typename Condition>
    void until(Condition condition) {
        const Time deadline = os::boot_now() + 10s;
        while (!condition() && os::boot_now() < deadline) loop_.turn(100ms);
        ASSERT_TRUE(condition());
    }
    // On a port of loopback that the kernel chooses.
    void listen(env::Accept accept) {
        Result<std::unique_ptr<env::Listening>> made =
            env_.network.listen({0x7f000001, 0}, std::move(accept));
        ASSERT_TRUE(made.ok());
        listening_ = std::move(*made);
    }
    std::unique_ptr<env::Stream> connect() { return env_.network.connect(listening_->address()); }

    os::Loop loop_;
    os::LinuxEnv linux_;
    env::Env& env_;
    std::unique_ptr<env::Listening> listening_;
};

}  // namespace thole::web
