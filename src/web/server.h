// A small HTTP/1.1 server for the API: strict heads by http/, keep-alive, one request at a time on
// a connection, whole request bodies, answers whole or streamed. Limits on everything. Callbacks
// come on the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "env/env.h"

namespace thole::web {

struct ServerRequest {
    std::string method;                                      // HEAD comes as GET: see begin().
    std::string path;                                        // Percent-decoded, without the query.
    std::vector<std::pair<std::string, std::string>> query;  // Decoded.
    std::string accept;                                      // What Accept says, or empty.
    std::string body;
    env::Peer peer;
    // The value of the first query parameter of this name, or empty.
    std::string_view parameter(std::string_view name) const;
};

// The way back to one client; copies answer the same request. Answers after the client has left go
// nowhere. One that is dropped unanswered answers 500.
class Responder {
public:
    struct Target;
    explicit Responder(std::shared_ptr<Target> target) : target_(std::move(target)) {}
    // Once.
    void answer(std::uint16_t status, std::string_view body,
                std::string_view content_type = "application/json") const;
    // {"error":{"code":…,"message":…,"hint":…}} with the status that the code stands for.
    void refuse(const Error& error) const;
    // A chunked body: begin, any number of parts, end; dropped or refused before its end it is cut,
    // so that the client knows. To HEAD no body goes: nothing is open any more after begin().
    void begin(std::uint16_t status, std::string_view content_type) const;
    void part(std::string_view bytes) const;
    void end() const;
    // False once the client has left, or has so much unread (4 MiB) that it never will: drop it.
    bool is_open() const;

private:
    std::shared_ptr<Target> target_;
};

struct ServerOptions {
    std::size_t connections_max = 256;
    std::size_t body_bytes_max = 16 * 1024 * 1024;
    Duration head_limit = std::chrono::seconds(10);
    Duration idle_limit = std::chrono::seconds(60);
};

using Handler = std::function<void(const ServerRequest&, const Responder&)>;

class Server {
public:
    Server(env::Env& env, ServerOptions options, Handler handler);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    // For a listening socket's accept. A connection may be refused by its peer before this.
    void accept(std::unique_ptr<env::Stream> stream);

private:
    struct Inside;
    std::unique_ptr<Inside> inside_;
};

// 400, 404, 409, 403, 503, 504, 429 or 500 for the eight codes.
std::uint16_t status_of(Code code);
// What refuse() wrote, read back; an error of code Unavailable where it is something else.
Error error_of(std::uint16_t status, std::string_view body);

}  // namespace thole::web
