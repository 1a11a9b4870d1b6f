#include "recovery/keep_ready.h"

#include <algorithm>

namespace thole::recovery {
namespace {

struct Tally {
    int live = 0;   // Not leaving.
    int ready = 0;  // Of these.
    int leaving = 0;
};

struct Tallies {
    Tally current;
    Tally other;
};

Tallies tally(const ServiceSeen& seen) {
    Tallies tallies;
    for (const model::InstanceSeen& instance : seen.instances) {
        Tally& at = instance.version == seen.current ? tallies.current : tallies.other;
        if (instance.stage == model::Stage::Leaving) {
            ++at.leaving;
            continue;
        }
        ++at.live;
        if (instance.stage == model::Stage::Ready) ++at.ready;
    }
    return tallies;
}

struct Targets {
    int current = 0;
    int other = 0;
};

Targets targets_of(const ServiceSeen& seen, const Tallies& at) {
    if (seen.count == 0) return {};
    if (seen.is_single) {
        const bool is_free = at.other.live + at.other.leaving == 0 && at.current.leaving == 0;
        return {is_free ? seen.count : std::min(seen.count, at.current.live), 0};
    }
    // Nothing old serves: nothing to be careful about.
    if (at.other.ready == 0) return {seen.count, 0};
    Targets targets;
    targets.other = std::max(0, seen.count - at.current.ready);
    targets.current = std::min(seen.count, at.current.ready + 1);
    return targets;
}

// Those that cannot be missed most come last: what is ready leaves after what is not, the younger
// before the older.
void end_surplus(const ServiceSeen& seen, bool of_current, int target, Plan& plan) {
    std::vector<const model::InstanceSeen*> live;
    for (const model::InstanceSeen& instance : seen.instances) {
        if (instance.stage == model::Stage::Leaving) continue;
        if ((instance.version == seen.current) == of_current) live.push_back(&instance);
    }
    const auto leaves_first = [](const model::InstanceSeen* left,
                                 const model::InstanceSeen* right) {
        if (left->stage != right->stage) return left->stage == model::Stage::Starting;
        if (left->since != right->since) return left->since > right->since;
        return left->id.slot > right->id.slot;
    };
    std::sort(live.begin(), live.end(), leaves_first);
    for (std::size_t i = 0; i + static_cast<std::size_t>(target) < live.size(); ++i)
        plan.end.push_back(live[i]->id);
}

}  // namespace

Plan plan(const ServiceSeen& seen) {
    const Tallies at = tally(seen);
    const Targets targets = targets_of(seen, at);
    // A gap in what served is filled with what has served; where that is the same release, with
    // the current one.
    const int gap = seen.is_single ? 0 : std::max(0, targets.other - at.other.live);
    const bool same_release = seen.proven.release == seen.current.release;
    const bool can_fill = seen.proven.release != 0 && !same_release;
    const int wanted = std::min(seen.count, targets.current + (can_fill ? 0 : gap));
    Plan plan;
    // What fills the gap is no surplus: it would leave and be started again without end.
    end_surplus(seen, true, wanted, plan);
    end_surplus(seen, false, targets.other, plan);
    const auto start = [&](int missing, const model::Version& version) {
        for (int i = 0; i < missing; ++i) plan.start.push_back(version);
    };
    if (can_fill) start(gap, seen.proven);
    const int missing = wanted - at.current.live;
    if (missing > 0 && seen.now < seen.next_start) {
        plan.waits = true;
    } else {
        start(missing, seen.current);
    }
    plan.is_settled = plan.start.empty() && plan.end.empty() && !plan.waits &&
                      at.current.ready == seen.count && at.current.live == seen.count &&
                      at.other.live + at.other.leaving + at.current.leaving == 0;
    return plan;
}

}  // namespace thole::recovery
