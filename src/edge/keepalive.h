// How long an idle connection to an endpoint may be used again: learned, so that no request runs
// into a connection that its server is just closing (Node closes after 5 s, gunicorn at once).
// Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace thole::edge {

class LearnedKeepAlive {
public:
    // `Keep-Alive: timeout=N` of a response.
    void told(std::int64_t timeout_ns);
    // The same from the field's value, as it was received.
    void told(std::string_view keep_alive);
    // The server closed a connection that had been idle for this long.
    void closed_after(std::int64_t idle_ns);
    // A connection idle for this long may carry a request.
    bool may_reuse(std::int64_t idle_ns) const;
    std::int64_t limit_ns() const { return limit_ns_; }

private:
    std::int64_t limit_ns_ = kDefaultNs;

public:
    // How long an idle connection is used again, until the server shows a shorter time: as long
    // as we keep a client's.
    static constexpr std::int64_t kDefaultNs = 60'000'000'000;
    // A server whose connections are closed sooner than this is not asked twice on one: we could
    // not be quicker.
    static constexpr std::int64_t kLeastNs = 10'000'000;
};

}  // namespace thole::edge
