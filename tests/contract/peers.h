// Real instances and their clients, over loopback: just enough HTTP/1.1 to see what an edge does,
// written from the protocol and not with src/http, which the edge stands on.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "stand.h"

namespace thole::contract {

// One side of a connection: bytes in, cut into heads with their bodies.
class Peer {
public:
    explicit Peer(std::unique_ptr<env::Stream> stream, std::function<void()> changed);
    Peer(const Peer&) = delete;
    struct Message {
        std::string first_line;
        std::map<std::string, std::string> fields;  // By lower-case name.
    };
    // The next whole one, if it has come.
    bool take(Message& message);
    void send(std::string_view bytes) { stream_->write(bytes); }
    bool is_over() const { return is_over_; }

private:
    std::unique_ptr<env::Stream> stream_;
    std::function<void()> changed_;
    std::string bytes_;
    bool is_over_ = false;
};

// Answers 200 at once, or when it is told to. Its death resets what is open.
class Instance {
public:
    explicit Instance(env::Env& env);
    std::uint16_t port() const { return listening_->address().port; }
    const std::vector<Arrival>& arrivals() const { return arrivals_; }
    void answer(std::size_t request);
    void die();

private:
    void serve(Peer& peer);

    std::vector<Arrival> arrivals_;
    std::vector<std::unique_ptr<Peer>> peers_;
    std::map<std::size_t, Peer*> waiting_;  // By request.
    std::unique_ptr<env::Listening> listening_;
};

// All clients of a stand.
class Clients {
public:
    explicit Clients(env::Env& env) : env_(env) {}
    std::size_t ask(const Ask& ask, std::uint16_t port);
    int seen(std::size_t request) const { return seen_[request]; }

private:
    struct Connection {
        std::unique_ptr<Peer> peer;
        std::size_t request = 0;
        bool is_waiting = false;
    };
    void look(Connection& connection);
    Connection& connection_for(const Ask& ask, std::uint16_t port);

    env::Env& env_;
    std::vector<int> seen_;
    std::map<std::size_t, Connection*> kept_;
    std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace thole::contract
