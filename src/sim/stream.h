// A stream's end, with the behaviour of os/linux_stream.cpp: writes of one turn leave together,
// buffers fill, each side may end alone.
#pragma once

#include "env/network.h"
#include "sim/endpoint.h"

namespace thole::sim {

class StreamEnd final : public Endpoint {
public:
    using Endpoint::Endpoint;

    void connect() { is_connecting_ = true; }
    void set_events(env::StreamEvents events) { events_ = std::move(events); }
    void write(std::string_view bytes);
    void end();
    void pause() { is_paused_ = true; }
    void resume();
    std::size_t unsent_bytes() const { return unsent_.size(); }

private:
    void take(Message message) override;
    bool may_take(const Message& message) const override;
    void silence() override { events_ = {}; }
    void on_taken(std::size_t size_bytes) override;
    void take_end(Message::Kind kind);
    void flush_later();
    void flush();
    std::size_t next_size();
    void close(const Error& error);

    env::StreamEvents events_;
    std::string unsent_;
    std::size_t not_taken_ = 0;  // Sent, not yet taken by the other's user.
    bool is_connecting_ = false;
    bool is_paused_ = false;
    bool is_closed_ = false;
    bool has_ended_ = false;  // We write no more.
    bool has_shut_ = false;
    bool peer_ended_ = false;
    bool flush_waits_ = false;
};

std::unique_ptr<env::Stream> make_stream(std::shared_ptr<StreamEnd> end);

}  // namespace thole::sim
