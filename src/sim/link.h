// A link's end, with the behaviour of os/linux_link.cpp: whole frames in order, and an end to
// patience.
#pragma once

#include "env/network.h"
#include "sim/endpoint.h"

namespace thole::sim {

class LinkEnd final : public Endpoint {
public:
    using Endpoint::Endpoint;

    void set_events(env::LinkEvents events) { events_ = std::move(events); }
    void send_frame(std::string frame);

private:
    void take(Message message) override;
    bool may_take(const Message&) const override { return true; }
    void silence() override { events_ = {}; }
    void on_taken(std::size_t size_bytes) override;
    void flush();
    void close(const Error& error);
    void close_later(Error error);

    env::LinkEvents events_;
    std::deque<std::string> unsent_;
    std::size_t unsent_bytes_ = 0;
    std::size_t not_taken_ = 0;  // Sent, not yet taken by the other's user.
    bool is_closing_ = false;
};

std::unique_ptr<env::Link> make_link(std::shared_ptr<LinkEnd> end);

}  // namespace thole::sim
