// How many requests of a service may be tried again because of an answer's status or a time-out,
// and when: a service of which everything fails sees at most a fifth more than its clients send.
// What died with its connection is sent again without asking here. Pure; a worker's, one a service.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/random.h"

namespace thole::edge {

// Tokens in thousandths: a request brings its share of one, a retry takes one (Finagle's and
// linkerd's retry budgets). Few are kept, and a second in which requests brought less than the
// least rate is made up to that; it is not added on top.
class RetryBudget {
public:
    // A request of a client has come; its retries are not told.
    void request(std::int64_t now_ns);
    // Takes a token where one more may be tried. `in_flight` and, among these, retries, those that
    // wait for their turn included, are the service's on this worker (Envoy's retry budget).
    bool take(std::int64_t now_ns, std::uint32_t in_flight, std::uint32_t retries_in_flight);

private:
    void turn_second(std::int64_t now_ns);

    std::int64_t tokens_ = 0;
    std::int64_t brought_ = 0;  // In the second that began at `second_ns_`.
    std::int64_t second_ns_ = 0;
    bool is_begun_ = false;
};

// How long the n-th retry (from 1) waits, of which any moment is as likely (full jitter); or none
// where the answer asks to be left alone for longer than kRetryAfterMax, in seconds or by a date.
// `retry_after` is the field's value as received, empty where there is none.
std::optional<std::int64_t> retry_pause_ns(std::uint32_t retry, std::string_view retry_after,
                                           Random& random);

}  // namespace thole::edge
