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

// What has served may be started again, where it is another release than the current one.
bool can_fill(const ServiceSeen& seen) {
    return !seen.is_single && seen.proven.release != 0 &&
           seen.proven.release != seen.current.release;
}

bool has_both(const ServiceSeen& seen) { return seen.keeps_proven && can_fill(seen); }

// It never served and nobody waits for it any more; it must not keep its place from what has
// served.
bool is_useless(const ServiceSeen& seen, const model::InstanceSeen& instance) {
    return can_fill(seen) && instance.stage == model::Stage::Starting &&
           instance.version != seen.current && instance.version.release != seen.proven.release;
}

Tallies tally(const ServiceSeen& seen) {
    Tallies tallies;
    for (const model::InstanceSeen& instance : seen.instances) {
        if (is_useless(seen, instance)) continue;
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
    if (has_both(seen)) return {seen.count, seen.count};
    // Nothing old serves or could: nothing to be careful about.
    const bool old_serves = at.other.ready > 0;
    if (!old_serves && !can_fill(seen)) return {seen.count, 0};
    Targets targets;
    targets.other = std::max(0, seen.count - at.current.ready);
    targets.current = std::min(seen.count, at.current.ready + 1);
    if (old_serves) return targets;
    // What of the new one starts goes on, however often the old one comes and goes; all of it may
    // start while the old one only waits for its next try.
    const bool old_is_held_back = at.other.live == 0 && seen.now < seen.next_fill;
    targets.current = old_is_held_back
                          ? seen.count
                          : std::min(seen.count, std::max(targets.current, at.current.live));
    return targets;
}

// Those that cannot be missed most come last: what is ready leaves after what is not, the younger
// before the older.
void end_surplus(const ServiceSeen& seen, bool of_current, int target, Plan& plan) {
    std::vector<const model::InstanceSeen*> live;
    for (const model::InstanceSeen& instance : seen.instances) {
        if (instance.stage == model::Stage::Leaving || is_useless(seen, instance)) continue;
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
    const bool fills_with_old = can_fill(seen);
    const int wanted = std::min(seen.count, targets.current + (fills_with_old ? 0 : gap));
    Plan plan;
    for (const model::InstanceSeen& instance : seen.instances) {
        if (is_useless(seen, instance)) plan.end.push_back(instance.id);
    }
    // What fills the gap is no surplus: it would leave and be started again without end.
    end_surplus(seen, true, wanted, plan);
    end_surplus(seen, false, targets.other, plan);
    const auto start = [&](int missing, const model::Version& version, Time not_before) {
        if (missing <= 0) return;
        if (seen.now >= not_before) {
            plan.start.insert(plan.start.end(), static_cast<std::size_t>(missing), version);
        } else if (plan.look_again == Time{} || not_before < plan.look_again) {
            plan.look_again = not_before;
        }
    };
    // One more than the count, whatever of the new one starts already.
    const int most = has_both(seen) ? 2 * seen.count : seen.count + 1;
    const int room = most - at.other.live - std::min(wanted, at.current.live);
    if (fills_with_old) start(std::min(gap, room), seen.proven, seen.next_fill);
    start(wanted - at.current.live, seen.current, seen.next_start);
    plan.is_settled = plan.start.empty() && plan.end.empty() && plan.look_again == Time{} &&
                      at.current.ready == seen.count && at.current.live == seen.count &&
                      at.other.live + at.other.leaving + at.current.leaving == 0;
    return plan;
}

}  // namespace thole::recovery
