// A stream of the API, one line at a time. Its callback comes while somebody turns the loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/client.h"

namespace thole::cli {

class LineStream {
public:
    // Empty lines, which say that the other end lives, are left out.
    LineStream(Client& client, const std::string& target,
               std::function<void(std::string_view)> on_line);
    LineStream(const LineStream&) = delete;
    LineStream& operator=(const LineStream&) = delete;

    // Set once it is over: success, what the API refused, or why it broke.
    const std::optional<Status>& ended() const { return ended_; }
    // Whether a line has come.
    bool has_begun() const { return has_begun_; }
    // It was refused, so that asking again is in vain.
    bool is_refused() const { return is_refused_; }

private:
    void take(std::string_view bytes);
    void hand_on(std::string_view line);
    void finish(Result<web::Response> response);

    std::function<void(std::string_view)> on_line_;
    std::string rest_;  // A line that is not whole yet.
    std::optional<Status> ended_;
    bool has_begun_ = false;
    bool is_refused_ = false;
    std::unique_ptr<web::Exchange> exchange_;  // Last: it calls into the others.
};

}  // namespace thole::cli
