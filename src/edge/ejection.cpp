#include "edge/ejection.h"

#include <algorithm>
#include <cmath>

#include "model/defaults.h"

namespace thole::edge {

namespace {

// More than this of all requests failing is bad for anybody.
constexpr double kBadRate = 0.08;
// A service all of whose instances fail this much is tried as a whole.
constexpr double kDownRate = 0.30;
// What a failure and a success say for a rate of 20 % against one of 10 %, in nats.
constexpr double kFailureSays = 0.6931;
constexpr double kSuccessSays = -0.1178;
// So much of it is kept: 25 successes in a row end any evidence.
constexpr double kScoreMax = 3;
// Odds of fifty to one, and no fewer failures than this: five, of which a little may have faded.
constexpr double kEnough = 4;
constexpr double kFailuresMin = 4.5;
// The prior is as heavy as so many requests: at the limit for an endpoint, at 2 % for its peers.
constexpr double kPriorRequests = 6;
constexpr double kPeersPriorRequests = 20;
constexpr double kPeersPriorRate = 0.02;
constexpr double kDeviations = 3;
constexpr double kFailingDeviations = 3;
// A burst that strikes all may strike one first: evidence so young must be the stronger.
constexpr std::int64_t kShortNs = 3'000'000'000;
constexpr double kEnoughShort = 5.5;
// Who is compared with peers must have seen them do well.
constexpr double kPeersGoodMin = 2.5;
// Evidence is of the last two hundred requests at most, and fades, as what is usual does.
constexpr double kEvidenceRequestsMax = 200;
constexpr double kEvidenceFadesNs = 60e9;
constexpr double kUsualFadesNs = 300e9;
constexpr double kRecentFadesNs = 3e9;

struct Counted {
    double good = 0;
    double bad = 0;
};

// Of all that serve.
struct Sums {
    Counted usual;
    Counted recent;
};

bool is_in(const Judged& judged) {
    return judged.standing == Standing::Serves && judged.health->is_out == 0;
}

void forget_evidence(EndpointHealth& health) {
    health.good = health.bad = health.peers_good = health.peers_bad = health.score = 0;
    health.since_ns = 0;
}

// What has come since the last time; what cannot be so is none.
Counted new_of(const EndpointHealth& health, const Totals& totals) {
    const Totals& before = health.seen;
    if (health.is_known == 0 || totals.successes < before.successes ||
        totals.failures < before.failures || totals.timeouts < before.timeouts) {
        return {};
    }
    return {static_cast<double>(totals.successes - before.successes),
            static_cast<double>(totals.failures - before.failures) +
                static_cast<double>(totals.timeouts - before.timeouts)};
}

void fade(EndpointHealth& health, std::int64_t now_ns) {
    const double passed =
        health.judged_ns == 0
            ? 0
            : static_cast<double>(std::max<std::int64_t>(now_ns - health.judged_ns, 0));
    health.judged_ns = now_ns;
    const double total = health.good + health.bad;
    const double kept = std::exp(-passed / kEvidenceFadesNs) *
                        (total > kEvidenceRequestsMax ? kEvidenceRequestsMax / total : 1.0);
    health.good *= kept;
    health.bad *= kept;
    health.peers_good *= kept;
    health.peers_bad *= kept;
    const double recent_kept = std::exp(-passed / kRecentFadesNs);
    health.recent_good *= recent_kept;
    health.recent_bad *= recent_kept;
    const double usual_kept = std::exp(-passed / kUsualFadesNs);
    health.usual_good *= usual_kept;
    health.usual_bad *= usual_kept;
}

void add(EndpointHealth& health, const Counted& own, const Counted& peers) {
    health.usual_good += own.good;
    health.usual_bad += own.bad;
    health.recent_good += own.good;
    health.recent_bad += own.bad;
    health.score =
        std::min(health.score + own.bad * kFailureSays + own.good * kSuccessSays, kScoreMax);
    if (health.score <= 0) return forget_evidence(health);
    if (health.since_ns == 0) health.since_ns = health.judged_ns;
    health.good += own.good;
    health.bad += own.bad;
    health.peers_good += peers.good;
    health.peers_bad += peers.bad;
}

double at_worst(double mean, double weight, double deviations) {
    return mean + deviations * std::sqrt(mean * (1 - mean) / (weight + 1));
}

// What these alone say: as long as none failed nothing, or, of a short time, little.
double at_worst(double good, double bad, bool is_young) {
    if (bad <= 0 && !is_young) return 0;
    const double weight = good + bad + 2;
    return at_worst((bad + 1) / weight, weight, bad <= 0 ? 1 : kFailingDeviations);
}

bool is_short(const EndpointHealth& health) {
    return health.judged_ns - health.since_ns < kShortNs;
}

// The failure rate that an endpoint's peers may have at worst: by what is usual for them and by
// what they did since its evidence began; and, where any of them failed, by that alone and by the
// last seconds alone. What makes all fail begins and ends at some moment, and does not strike all
// in the same order.
double rate_of_peers(const EndpointHealth& health, const Sums& all) {
    const double usual_bad = std::max(all.usual.bad - health.usual_bad, 0.0);
    const double usual_good = std::max(all.usual.good - health.usual_good, 0.0);
    const double usual = (kPeersPriorRequests * kPeersPriorRate + usual_bad) /
                         (kPeersPriorRequests + usual_bad + usual_good);
    const double weight = kPeersPriorRequests + health.peers_good + health.peers_bad;
    const double mean = (kPeersPriorRequests * usual + health.peers_bad) / weight;
    const double recently = at_worst(std::max(all.recent.good - health.recent_good, 0.0),
                                     all.recent.bad - health.recent_bad, false);
    return std::max({at_worst(mean, weight, kDeviations),
                     at_worst(health.peers_good, health.peers_bad, is_short(health)), recently});
}

void eject(EndpointHealth& health, std::int64_t now_ns) {
    ++health.times_out;
    const std::int64_t time =
        std::min(std::int64_t{health.times_out} * model::kEjectionTime.count(),
                 model::kEjectionTimeMax.count());
    health.out_until_ns = now_ns + time;
    health.is_out = 1;
    health.is_suspect = 0;
    health.usual_good = health.usual_bad = health.recent_good = health.recent_bad = 0;
    forget_evidence(health);
}

void bring_back(EndpointHealth& health, std::int64_t now_ns, std::int64_t slow_start_from_ns) {
    health.is_out = 0;
    health.back_ns = slow_start_from_ns;
    health.forgotten_ns = now_ns;
}

struct Strength {
    std::uint32_t all = 0;  // That should serve.
    std::uint32_t in = 0;
    std::uint32_t ejected = 0;
};

Strength strength_of(std::span<const Judged> service) {
    Strength strength;
    for (const Judged& judged : service) {
        if (judged.standing == Standing::Leaves) continue;
        ++strength.all;
        if (is_in(judged)) ++strength.in;
        if (judged.health->is_out != 0) ++strength.ejected;
    }
    return strength;
}

bool may_eject_one(const Strength& now) {
    const std::uint32_t most =
        std::max<std::uint32_t>(1, now.all * model::kEjectedPercentMax / 100);
    return now.in >= 2 && now.ejected < most &&
           (now.in - 1) * 100 >= now.all * model::kPanicPercent;
}

// Counts what is new, for all first: each is compared with the others of the same moment.
Sums count(std::span<const Judged> service, std::int64_t now_ns) {
    Counted all;
    Sums sums;
    for (const Judged& judged : service) {
        fade(*judged.health, now_ns);
        if (!is_in(judged)) continue;
        const Counted own = new_of(*judged.health, judged.totals);
        all.good += own.good;
        all.bad += own.bad;
    }
    for (const Judged& judged : service) {
        EndpointHealth& health = *judged.health;
        const Counted own = new_of(health, judged.totals);
        health.seen = judged.totals;
        health.is_known = 1;
        if (!is_in(judged)) continue;
        add(health, own, {all.good - own.good, all.bad - own.bad});
        sums.usual.good += health.usual_good;
        sums.usual.bad += health.usual_bad;
        sums.recent.good += health.recent_good;
        sums.recent.bad += health.recent_bad;
    }
    return sums;
}

// All that serve fail as badly as one that is out.
bool is_down(std::span<const Judged> service) {
    return std::all_of(service.begin(), service.end(), [](const Judged& judged) {
        return !is_in(judged) ||
               evidence(judged.health->good, judged.health->bad, kDownRate) >= kEnough;
    });
}

void eject_worst(std::span<const Judged> service, const Sums& sums, std::int64_t now_ns,
                 Verdict& verdict) {
    for (;;) {
        EndpointHealth* worst = nullptr;
        double most = 0;
        for (const Judged& judged : service) {
            EndpointHealth& health = *judged.health;
            health.is_suspect = 0;
            if (!is_in(judged) || health.bad < kFailuresMin) continue;
            const double limit = std::max(kBadRate, rate_of_peers(health, sums));
            const double sure = limit < 1 ? evidence(health.good, health.bad, limit) : 0;
            const double enough = is_short(health) ? kEnoughShort : kEnough;
            if (sure < enough || health.peers_good < kPeersGoodMin) continue;
            health.is_suspect = 1;
            if (sure < most) continue;
            most = sure;
            worst = &health;
        }
        if (worst == nullptr || !may_eject_one(strength_of(service))) return;
        eject(*worst, now_ns);
        ++verdict.ejected;
    }
}

}  // namespace

double evidence(double good, double bad, double limit) {
    const double weight = kPriorRequests + good + bad;
    const double rate = (kPriorRequests * limit + bad) / weight;
    if (rate <= limit) return 0;
    const double rest = rate < 1 ? (1 - rate) * std::log((1 - rate) / (1 - limit)) : 0;
    return weight * (rate * std::log(rate / limit) + rest);
}

Verdict judge(std::span<const Judged> service, std::int64_t now_ns) {
    Verdict verdict;
    const Sums sums = count(service, now_ns);
    for (const Judged& judged : service) {
        EndpointHealth& health = *judged.health;
        if (health.is_out != 0 && now_ns >= health.out_until_ns) {
            bring_back(health, now_ns, now_ns);
            ++verdict.returned;
        } else if (health.is_out == 0 && health.times_out > 0 &&
                   now_ns - health.forgotten_ns >= model::kEjectionForgotten.count()) {
            --health.times_out;
            health.forgotten_ns = now_ns;
        }
    }
    eject_worst(service, sums, now_ns, verdict);
    const Strength strength = strength_of(service);
    verdict.is_panic =
        strength.ejected > 0 &&
        (strength.in * 100 < strength.all * model::kPanicPercent || is_down(service));
    if (!verdict.is_panic) return verdict;
    for (const Judged& judged : service) {
        if (judged.health->is_out == 0) continue;
        bring_back(*judged.health, now_ns, 0);
        ++verdict.returned;
    }
    return verdict;
}

}  // namespace thole::edge
