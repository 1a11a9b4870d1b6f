#include "cli/line_stream.h"

#include "web/server.h"

namespace thole::cli {
namespace {

// No line of the API is longer; a peer that never ends its line does not fill our memory.
constexpr std::size_t kLineBytesMax = 16 * 1024 * 1024;

}  // namespace

LineStream::LineStream(Client& client, const std::string& target,
                       std::function<void(std::string_view)> on_line)
    : on_line_(std::move(on_line)) {
    exchange_ = client.open_stream(
        target, {.done = [this](Result<web::Response> response) { finish(std::move(response)); },
                 .on_part = [this](std::string_view bytes) { take(bytes); }});
}

void LineStream::take(std::string_view bytes) {
    rest_ += bytes;
    std::size_t begin = 0;
    for (std::size_t end = rest_.find('\n'); end != std::string::npos;
         end = rest_.find('\n', begin)) {
        hand_on(std::string_view(rest_).substr(begin, end - begin));
        begin = end + 1;
    }
    rest_.erase(0, begin);
    if (rest_.size() > kLineBytesMax) rest_.clear();
}

void LineStream::hand_on(std::string_view line) {
    if (line.empty()) return;
    has_begun_ = true;
    on_line_(line);
}

void LineStream::finish(Result<web::Response> response) {
    if (!response.ok()) {
        ended_ = response.error();
    } else if (response->status < 200 || 300 <= response->status) {
        // Not now: control is just coming back.
        is_refused_ = response->status != 503;
        ended_ = web::error_of(response->status, response->body);
    } else {
        hand_on(rest_);
        ended_ = success();
    }
}

}  // namespace thole::cli
