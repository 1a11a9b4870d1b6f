// What services do with their own output, looked at once a second: how much there was at which
// time, who says more than is kept or empties what it said; and once a minute what ended ones left.
#include <fmt/format.h>

#include <memory>
#include <set>
#include <vector>

#include "control/api.h"
#include "control/spools.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kObservePause = 1s;
constexpr Duration kBoundPause = 60s;
constexpr Duration kTellPause = 60s;  // Of one slot: it may do so all day.

struct Observed {
    std::uint32_t slot;
    std::string paths[2];
    std::uint64_t sizes[2] = {0, 0};
};

}  // namespace

void Api::observe_spools() {
    observe_ = control_.env_.timers.after(kObservePause, [this] { observe_spools(); });
    const auto all = std::make_shared<std::vector<Observed>>();
    for (const auto& [number, slot] : control_.world_.slots) {
        const auto service = control_.world_.services.find(slot.row.service);
        if (slot.use != SlotUse::Taken || service == control_.world_.services.end()) continue;
        const SpoolSource source = source_of(service->second, slot);
        all->push_back({number, {source.path_out, source.path_err}});
    }
    if (all->empty()) return;
    control_.env_.errands.run(
        [&files = control_.env_.files, all] {
            for (Observed& each : *all) {
                for (std::size_t i = 0; i < 2; ++i) {
                    const auto file = files.open(each.paths[i], env::OpenMode::Read);
                    if (file) each.sizes[i] = (*file)->size().value_or(0);
                }
            }
        },
        [this, alive = alive_, all] {
            if (!*alive) return;
            for (const Observed& each : *all) {
                for (std::size_t i = 0; i < 2; ++i)
                    marks_[each.paths[i]].observe(control_.env_.clock.now(), each.sizes[i]);
                tell_output(each.slot, each.sizes);
            }
        });
}

// Of slots that nothing runs in; nothing starts there meanwhile.
void Api::bound_spools() {
    bound_ = control_.env_.timers.after(kBoundPause, [this] { bound_spools(); });
    // Before keeper has said what runs, nothing is known to be free. And where the last look hangs
    // at its disk there is none beside it.
    if (!control_.was_adopted_ || is_bounding_) return;
    const auto free = std::make_shared<std::set<std::uint32_t>>();
    for (const auto& [number, slot] : control_.world_.slots) {
        if (slot.use == SlotUse::Free && !slot.row.is_build) free->insert(number);
    }
    if (free->empty()) return;
    is_bounding_ = true;
    const auto files = std::make_shared<std::vector<env::FileInfo>>();
    const std::string folder = control_.options_.data + "/spool";
    control_.env_.errands.run(
        [&disk = control_.env_.files, folder, files] {
            if (auto found = disk.list(folder)) *files = std::move(found).value();
        },
        [this, alive = alive_, folder, files, free] {
            if (!*alive) return;
            remove_spools(folder, spools_to_remove(std::move(*files), *free));
        });
}

void Api::remove_spools(const std::string& folder, std::vector<std::string> names) {
    std::set<std::uint32_t>& emptied = control_.world_.emptied;
    std::erase_if(names, [&](const std::string& name) {
        const auto slot = control_.world_.slots.find(read_spool_name(name).slot);
        const bool is_free =
            slot != control_.world_.slots.end() && slot->second.use == SlotUse::Free;
        if (is_free) emptied.insert(slot->first);
        return !is_free;
    });
    is_bounding_ = !names.empty();
    if (names.empty()) return;
    control_.env_.errands.run(
        [&disk = control_.env_.files, folder, names = std::move(names)] {
            for (const std::string& name : names)
                static_cast<void>(disk.remove(folder + "/" + name));
        },
        [this, alive = alive_] {
            if (!*alive) return;
            is_bounding_ = false;
            control_.world_.emptied.clear();
            control_.mark_all();
        });
}

void Api::tell_output(std::uint32_t number, const std::uint64_t (&sizes)[2]) {
    const auto found = control_.world_.slots.find(number);
    const auto instance = control_.world_.instances.find(number);
    if (found == control_.world_.slots.end() || instance == control_.world_.instances.end()) return;
    Slot& slot = found->second;
    Output& before = slot.output;
    Output now{.generation = instance->second.id.generation,
               .sizes = {sizes[0], sizes[1]},
               .dropped = slot.dropped_bytes[0] + slot.dropped_bytes[1],
               .told = before.told,
               .reason = before.reason};
    // Only what this one does, as far as we saw it.
    const bool is_known = before.generation == now.generation;
    const bool has_emptied = is_known && (sizes[0] < before.sizes[0] || sizes[1] < before.sizes[1]);
    const bool was_dropped = is_known && now.dropped > before.dropped;
    if (!is_known) now.reason.clear();
    if (has_emptied) now.reason = "it empties its own output";
    if (was_dropped)
        now.reason = fmt::format("it says more than is kept: {} MiB are gone", now.dropped >> 20);
    const Time at = control_.env_.clock.now();
    const bool is_new =
        (has_emptied || was_dropped) && (before.told == Time{} || at - before.told > kTellPause);
    if (is_new) {
        now.told = at;
        const Service& service = control_.world_.services.at(slot.row.service);
        control_.say({.kind = "output lost",
                      .service = service.row.name,
                      .instance = model::name_of(service.row.name, instance->second.id),
                      .text = now.reason});
    }
    before = std::move(now);
}

}  // namespace thole::control
