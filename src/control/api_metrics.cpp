// docs/reference/metrics.md, `GET /metrics`.
#include "control/api.h"
#include "control/metrics.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

// Right after control's start the counts of the edge are not known yet: better none than fewer
// than were shown before. Who has no edge is told the rest after this.
constexpr Duration kTotalsLimit = 5s;
constexpr std::size_t kProcBytesMax = 64 * 1024;

std::optional<ProcessUse> own_use(env::Files& files) {
    const Result<std::string> stat = files.read("/proc/self/stat", kProcBytesMax);
    const Result<std::string> status = files.read("/proc/self/status", kProcBytesMax);
    const auto descriptors = files.list("/proc/self/fd");
    if (!stat || !status || !descriptors) return std::nullopt;
    std::optional<ProcessUse> use = read_process_use(*stat, *status);
    if (use) use->descriptors = descriptors->size() - 1;  // Not the one that lists them.
    return use;
}

}  // namespace

void Api::get_metrics(MetricsForm form, const web::Responder& to) {
    const bool is_known = control_.was_adopted_ && control_.world_.edge_totals.is_whole();
    if (!is_known && control_.env_.clock.now() - began_ < kTotalsLimit)
        return to.refuse(unavailable("control has just begun and knows no counts yet")
                             .with_hint("ask again in a second"));
    const MetricsSaid said{.version = kVersion,
                           .is_edge_there = control_.edge_->is_connected(),
                           .turns = control_.turns_,
                           .turn_late_max = control_.turn_late_max_,
                           .timeline_entries = control_.sequence_,
                           .self = own_use(control_.env_.files)};
    to.answer(200, metrics_text(control_.world_, said, form), content_type_of(form));
}

}  // namespace thole::control
