// How much services keep, against what they said: told, not enforced.
#include <memory>
#include <utility>
#include <vector>

#include "control/api.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

// Summed up file by file: often enough to be seen, too rarely to be felt.
constexpr Duration kMeasurePause = 60s;
constexpr Duration kMeasureSoon = 2s;  // After a manifest, and where it could not be summed up.

}  // namespace

void Api::measure_state_soon() { measure_state_after(kMeasureSoon); }

void Api::measure_state_after(Duration pause) {
    measure_ = control_.env_.timers.after(pause, [this] { measure_state(); });
}

void Api::measure_state() {
    struct Kept {
        std::uint32_t service;
        std::string folder;
        Result<std::uint64_t> bytes;
    };
    const auto all = std::make_shared<std::vector<Kept>>();
    for (const auto& [id, service] : control_.world_.services) {
        if (!service.row.is_removed && service.spec.state_bytes > 0)
            all->push_back({id, control_.state_folder(service), unavailable("not summed up yet")});
    }
    if (all->empty()) return measure_state_after(kMeasurePause);
    control_.env_.errands.run(
        [&trees = control_.env_.trees, all] {
            for (Kept& each : *all) each.bytes = trees.bytes_of(each.folder);
        },
        [this, alive = alive_, all] {
            if (!*alive) return;
            Duration pause = kMeasurePause;
            for (const Kept& each : *all) {
                if (!each.bytes) pause = kMeasureSoon;
                const auto found = control_.world_.services.find(each.service);
                if (found != control_.world_.services.end() && each.bytes)
                    found->second.kept_bytes = *each.bytes;
            }
            measure_state_after(pause);
        });
}

}  // namespace thole::control
