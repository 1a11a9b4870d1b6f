// One HTTP/1.1 request over a stream of its own: for probes, the API's clients and the command
// line. Not for many requests a second: no connection is reused. Callbacks come on the loop's
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "env/env.h"

namespace thole::web {

struct Request {
    std::string method = "GET";
    std::string target = "/";  // Origin form: path and query.
    std::string host = "localhost";
    std::vector<std::pair<std::string, std::string>> fields = {};
    std::string body = {};  // Sent with Content-Length; a content type is the caller's business.
};

struct Response {
    std::uint16_t status = 0;
    std::vector<std::pair<std::string, std::string>> fields = {};  // Names in lower case.
    std::string body = {};
    // The value of the first field of this name (lower case), or empty.
    std::string_view field(std::string_view name) const;
};

struct ExchangeLimits {
    Duration whole = std::chrono::seconds(5);  // From the start to the last byte; kForever: none.
    std::size_t body_bytes_max = 16 * 1024 * 1024;  // Of what is kept; a stream keeps nothing.
};

// Where `on_part` is set the body goes there piece by piece (of a 2xx only) and Response::body
// stays empty: for streams.
struct ExchangeEvents {
    std::function<void(Result<Response>)> done =
        nullptr;  // Exactly once; may destroy the exchange.
    std::function<void(std::string_view)> on_part = nullptr;
};

// A request under way. Destroying it closes its stream, and nothing is called any more.
class Exchange {
public:
    virtual ~Exchange() = default;
};

struct ExchangeOptions {
    ExchangeLimits limits = {};
    ExchangeEvents events = {};
};

std::unique_ptr<Exchange> start_exchange(env::Env& env, std::unique_ptr<env::Stream> stream,
                                         const Request& request, ExchangeOptions options);

}  // namespace thole::web
