// Which instances of a service are out because of what their traffic shows. Made for two or three
// instances and little traffic: each is compared with the others over the same time, not with an
// average of many. Pure; main judges each service about every 100 ms, from what its workers count.
// Like Envoy's outlier detection in its caps, its times and its panic rule, unlike it in how it
// judges, which there needs five hosts and a hundred requests each.
//
// How: from its first failure on, an instance's requests are evidence, until enough of them went
// well again (Page's CUSUM, 1954). Its failure rate has a Beta posterior; so has that of its peers
// over the same time. It is out where its own exceeds what is bad for anybody (8 %) and what its
// peers may have at worst (three deviations), with odds of fifty to one, or more where it all
// happened within three seconds (Chernoff's bound on the posterior's tail). Five failures in a row
// are that much, where the peers are well; where they fail, too, it is no instance's fault.
#pragma once

#include <cstdint>
#include <span>

namespace thole::edge {

// Of one instance, over all workers; they only grow. A failure is what a gateway may try again:
// 502, 503, 504, any other 5xx, a broken connection. 4xx are successes. A time-out is none of these
// two, but counts like a failure.
struct Totals {
    std::uint64_t successes = 0;
    std::uint64_t failures = 0;
    std::uint64_t timeouts = 0;
};

enum class Standing : std::uint8_t {
    Serves,  // No other author's bit; whether we have it out stands in its health.
    Out,     // Another author has it out, and it is missed.
    Leaves,  // Starting, draining or gone: no part of the service's strength.
};

// What is known of an instance. Plain data: it may lie in the segment. All zero for a new one, and
// whenever its slot is another instance's.
struct EndpointHealth {
    Totals seen;
    // Evidence in requests, and what the peers did in that time.
    double good = 0;
    double bad = 0;
    double peers_good = 0;
    double peers_bad = 0;
    double score = 0;  // 0: there is none.
    // Of the last seconds, and of the last minutes: what is usual here.
    double recent_good = 0;
    double recent_bad = 0;
    double usual_good = 0;
    double usual_bad = 0;
    std::int64_t since_ns = 0;  // The evidence began.
    std::int64_t judged_ns = 0;
    std::int64_t out_until_ns = 0;
    std::int64_t back_ns = 0;  // Slow start counts from here; 0: it needs none.
    std::int64_t forgotten_ns = 0;
    std::uint32_t times_out = 0;
    std::uint32_t is_known = 0;
    std::uint32_t is_out = 0;
    std::uint32_t is_suspect = 0;  // Bad, but left in: the cap is reached, or nobody is better.
};

struct Judged {
    EndpointHealth* health;
    Totals totals;
    Standing standing = Standing::Serves;
};

struct Verdict {
    std::uint32_t ejected = 0;
    std::uint32_t returned = 0;
    bool is_panic = false;  // All that we had out are back at once.
};

// Judges a service's endpoints, all of them; their health says who is out. Never the last one,
// never more than kEjectedPercentMax of them (or one), never so many that fewer than kPanicPercent
// serve, counting those that others have out.
Verdict judge(std::span<const Judged> service, std::int64_t now_ns);

// How sure it is that a failure rate is above `limit`, given so many of either kind, in nats.
double evidence(double good, double bad, double limit);

}  // namespace thole::edge
