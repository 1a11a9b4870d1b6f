// Which endpoint takes a request: the less loaded of two drawn at random (power of two choices,
// Mitzenmacher 2001), of which one that starts is drawn more seldom. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "base/random.h"

namespace thole::edge {

// What is usual for an endpoint: rises at once to a slow answer and falls back slowly (peak EWMA,
// as in Finagle and linkerd2-proxy); and unlike there also rises while requests wait and no answer
// comes, so that one that hangs is left alone before its first time-out. One worker's, plain data.
class PeakLatency {
public:
    // A request was sent.
    void began(std::int64_t now_ns);
    // The head of its answer came, so long after it began. A failure is no quick answer: it counts
    // as what is usual, or as long as it took. Else one that refuses everything would get it all.
    void answered(std::int64_t now_ns, std::int64_t took_ns);
    void failed(std::int64_t now_ns, std::int64_t took_ns);
    // It ended without telling anything: its client went away, or it was sent elsewhere unbegun.
    void left(std::int64_t now_ns);
    // The same, after it was silent for so long: it is no quicker than that.
    void left_after(std::int64_t now_ns, std::int64_t silent_ns);

    // In microseconds; 0 is not known yet.
    std::uint32_t us(std::int64_t now_ns) const;
    // Requests whose answer has not begun.
    std::uint32_t waiting() const { return waiting_; }

private:
    double faded(std::int64_t now_ns) const;
    void sample(std::int64_t now_ns, double took_us);
    void end(std::int64_t now_ns);

    double peak_us_ = 0;
    std::int64_t at_ns_ = 0;      // Of the last answer.
    std::int64_t silent_ns_ = 0;  // Since then some wait, and none was answered.
    std::uint32_t waiting_ = 0;
};

struct Candidate {
    std::uint32_t slot = 0;
    std::uint32_t in_flight = 0;
    std::uint32_t latency_us = 0;  // What is usual; 0 is not known yet.
    // Of a thousand: how often it is drawn, against others. 0: only where all have 0.
    std::uint32_t weight = 1000;
    // Times its load counts, for one that is known to be bad and cannot be left out; at least 1.
    std::uint32_t penalty = 1;
};

// Index into `candidates`, which is not empty. Load is (in flight + 1) × latency × penalty; a
// latency that is not known counts as the other's, so that a new endpoint is neither flooded nor
// starved.
std::size_t choose(std::span<const Candidate> candidates, Random& random);

// The weight of an endpoint that serves since then, or came back then; 0: always. Linear, like
// Envoy's with an aggression of 1.
std::uint32_t slow_start_weight(std::int64_t now_ns, std::int64_t since_ns);

// Whether a worker with so many clients gives the next one to another that has so many. A small
// difference is left: to hand on costs the client a wake-up.
bool should_hand_on(std::uint32_t own, std::uint32_t others);

}  // namespace thole::edge
