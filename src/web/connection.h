// One client's connection to a Server: its requests one after another, each read whole, handed to
// the handler and answered before the next is looked at. For server.cpp only.
//
//     Head -> Body -> Asked -> Head …            keep-alive
//     any  -> Closing (last answer leaves, what still comes is thrown away) -> Gone
//
// A connection belongs to its server's House until it is Gone. Whoever calls out of one holds it
// for so long, as the handler may destroy the server.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "env/env.h"
#include "http/body.h"
#include "http/head.h"
#include "web/server.h"

namespace thole::web {

class Connection;

// What the connections of one server share.
struct House {
    House(env::Env& outside, ServerOptions limits, Handler answers)
        : env(outside), options(limits), handler(std::move(answers)) {}

    env::Env& env;
    ServerOptions options;
    Handler handler;
    std::map<std::uint64_t, std::shared_ptr<Connection>> connections;
    std::uint64_t next_id = 1;
};

// One request's way back. The connection does not hold it: it ends with the last Responder.
struct Responder::Target {
    enum class Stage : std::uint8_t { Waiting, Streaming, Done };

    Target() = default;
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    ~Target();

    std::weak_ptr<Connection> connection;
    Stage stage = Stage::Waiting;
};

class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(std::shared_ptr<House> house, std::unique_ptr<env::Stream> stream, std::uint64_t id)
        : house_(std::move(house)), stream_(std::move(stream)), id_(id) {}

    void start();
    // Answers whatever was or will be asked with this, and ends.
    void refuse(std::uint16_t status, const Error& error);
    // Without a word more.
    void leave();

    // These do nothing once the client has left.
    void answer(std::uint16_t status, std::string_view body, std::string_view content_type);
    // Whether a body may follow.
    bool begin(std::uint16_t status, std::string_view content_type);
    void part(std::string_view bytes);
    void end();
    bool is_open() const;

private:
    enum class Stage : std::uint8_t { Head, Body, Asked, Closing, Gone };

    void on_received(std::string_view bytes);
    void on_ended();
    void on_drained();
    void on_time();

    void advance();
    bool read_head();
    void read_body();
    void take_head(const http::RequestHead& head);
    void ask();
    void starve();
    void go_on();
    void close();
    void refuse_rule(http::Rule rule, std::uint16_t status);

    void write(std::string_view bytes);
    void write_head(std::uint16_t status, std::string_view content_type, http::Framing framing,
                    std::size_t length);
    void wait(Duration limit);
    bool takes_what_we_send();

    std::shared_ptr<House> house_;
    std::unique_ptr<env::Stream> stream_;  // Null when Gone.
    std::uint64_t id_;
    Stage stage_ = Stage::Head;
    env::Timer timer_;  // The limit of the stage.
    env::Timer next_;   // Another request is in in_ already.

    std::string in_;          // Received and not yet understood.
    std::size_t looked_ = 0;  // Of in_, for the end of a head.
    ServerRequest request_;
    http::BodyDecoder decoder_;
    std::uint8_t version_minor_ = 1;
    bool is_head_ = false;  // The answer's body stays here.
    bool keeps_ = false;    // Another request may follow.
    bool is_streaming_ = false;
    bool peer_ended_ = false;

    std::uint64_t written_ = 0;
    std::uint64_t taken_ = 0;  // Of written_, when last looked at.
};

}  // namespace thole::web
