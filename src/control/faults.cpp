// Faults on purpose. They are the edge's, and so is their end; here they are asked for, and told on
// the timeline as the edge tells of them, once, whoever was control when they began or ended.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/parse.h"
#include "control/control.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

// After its end the last counts may still be on their way.
constexpr Duration kLastCounts = 300ms;

std::string service_name(const World& world, std::uint32_t service) {
    const auto found = world.services.find(service);
    return found == world.services.end() ? fmt::format("service {}", service)
                                         : found->second.row.name;
}

std::string act_of(const wire::FaultTerms& terms) {
    switch (terms.kind) {
        case wire::FaultKind::Delay:
            return fmt::format(
                "wait {}{}", print_duration(Duration(terms.delay)),
                terms.jitter == 0 ? "" : " ± " + print_duration(Duration(terms.jitter)));
        case wire::FaultKind::Abort: return fmt::format("are answered {}", terms.status);
        case wire::FaultKind::Reset: return "are reset";
        case wire::FaultKind::Hang: return "hang";
        case wire::FaultKind::SlowBody: return fmt::format("are answered at {} B/s", terms.rate);
        case wire::FaultKind::Bandwidth: return fmt::format("have {} B/s both ways", terms.rate);
        case wire::FaultKind::Partition: return "are cut off";
        case wire::FaultKind::Count_: break;
    }
    return "are hurt";
}

// What it took to say it is no part of it.
Duration about(std::int64_t lasts_ns) {
    return std::chrono::round<std::chrono::seconds>(Duration(lasts_ns));
}

std::string ended_words(const World& world, const wire::FaultState& fault) {
    const auto why = world.fault_ends.find(fault.terms.id);
    return fmt::format("fault {}: it hurt {} of {} requests that fitted{}", fault.terms.id,
                       fault.hurt, fault.matched,
                       why == world.fault_ends.end() ? "" : "; ended: " + why->second);
}

std::string share_of(const wire::FaultTerms& terms) {
    return terms.share % 10 == 0 ? fmt::format("{}", terms.share / 10)
                                 : fmt::format("{}.{}", terms.share / 10, terms.share % 10);
}

}  // namespace

std::string words_of(const World& world, const wire::FaultTerms& terms) {
    std::string who = share_of(terms) + " % of requests";
    if (terms.caller != wire::kAnyCaller) who += " from " + service_name(world, terms.caller);
    if (terms.release != 0) who += fmt::format(" to v{}", terms.release);
    if (terms.slot != wire::kAnySlot)
        who += fmt::format(" to {}-{}", service_name(world, terms.service), terms.slot);
    if (terms.field[0] != 0) who += fmt::format(" with {}: {}", terms.field, terms.value);
    return fmt::format("{} {}", who, act_of(terms));
}

void Control::inject(wire::FaultTerms terms, std::function<void(const Status&)> answered) {
    // Not before its number is kept: whoever is control next could use it again.
    after_commit([this, terms, answered = std::move(answered)] {
        if (world_.is_down)
            return answered(conflict("the system is stopping").with_hint("thole up"));
        edge_->inject(terms, answered);
    });
    commit();
}

std::uint32_t Control::next_fault() {
    for (const wire::FaultState& fault : world_.faults)
        fault_last_ = std::max(fault_last_, fault.terms.id);
    put(model::NumberRow{"fault_last", ++fault_last_});
    return fault_last_;
}

void Control::on_faults(const std::vector<wire::FaultState>& faults) {
    const std::vector<wire::FaultState> before = std::exchange(world_.faults, faults);
    std::sort(world_.faults.begin(), world_.faults.end(),
              [](const auto& one, const auto& other) { return one.terms.id < other.terms.id; });
    // Its memory is gone, keeper's copy, too, or its place was needed: so it is over.
    for (const wire::FaultState& fault : before) {
        const bool is_known = std::any_of(
            faults.begin(), faults.end(),
            [&](const wire::FaultState& each) { return each.terms.id == fault.terms.id; });
        if (is_known || fault.terms.until <= faults_ended_) continue;
        say({.kind = "fault ended",
             .service = service_name(world_, fault.terms.service),
             .text = ended_words(world_, fault)});
    }
    say_faults();
    // Only those that the edge still knows can be asked for.
    std::erase_if(world_.fault_ends, [this](const auto& end) {
        return std::none_of(world_.faults.begin(), world_.faults.end(),
                            [&](const auto& each) { return each.terms.id == end.first; });
    });
    // What hangs ends later, if at all: no count of an end would come.
    watch_budgets();
}

void Control::say_faults() {
    const std::int64_t now = nanoseconds_of(env_.clock.now());
    // Of before the machine's last start.
    if (faults_ended_ > now) faults_ended_ = 0;
    std::int64_t ended = faults_ended_, next = 0;
    for (const wire::FaultState& fault : world_.faults) {
        const wire::FaultTerms& terms = fault.terms;
        const std::string service = service_name(world_, terms.service);
        if (terms.id > fault_begun_) {
            put(model::NumberRow{"fault_begun", fault_begun_ = terms.id});
            say({.kind = "fault begun",
                 .service = service,
                 .text =
                     fmt::format("fault {}: {}, for {}; by {}", terms.id, words_of(world_, terms),
                                 print_duration(about(terms.until - fault.begun)), terms.by)});
        }
        const std::int64_t told_at = terms.until + kLastCounts.count();
        if (now < told_at) {
            next = next == 0 ? told_at : std::min(next, told_at);
        } else if (terms.until > faults_ended_) {
            ended = std::max(ended, terms.until);
            say({.kind = "fault ended", .service = service, .text = ended_words(world_, fault)});
        }
    }
    if (ended > faults_ended_) put(model::NumberRow{"faults_ended", faults_ended_ = ended});
    if (next != 0) faults_end_ = env_.timers.after(Duration(next - now), [this] { say_faults(); });
}

}  // namespace thole::control
