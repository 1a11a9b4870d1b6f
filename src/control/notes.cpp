// What control notes on tmpfs of each slot, for one that comes after it.
#include <fmt/format.h>

#include <algorithm>

#include "base/parse.h"
#include "control/control.h"
#include "wire/slots.h"

namespace thole::control {

// It lives exactly as long as instances do, and as keeper's own table.
void Control::note_slot(model::InstanceId id, std::string_view stage) {
    const Status written =
        env_.files.replace(fmt::format("{}/images/note.{}", options_.run, id.slot),
                           fmt::format("{} {}", id.generation, stage), env::Durability::None, 0600);
    if (!written) say({.kind = "trouble", .text = written.error().message});
}

// Where the disk was slow a control before us may have begun a generation whose row never came to
// it: keeper starts none twice.
void Control::recall_notes() {
    constexpr std::string_view kNote = "note.";
    const std::string folder = options_.run + "/images";
    const auto files = env_.files.list(folder);
    for (const env::FileInfo& file : files ? *files : std::vector<env::FileInfo>{}) {
        if (!file.name.starts_with(kNote)) continue;
        const auto note = env_.files.read(folder + "/" + file.name, 64);
        const auto slot = parse_integer(file.name.substr(kNote.size()), 0, wire::kSlotsMax);
        const auto generation =
            parse_integer(note ? note->substr(0, note->find(' ')) : "", 1, 0xffffffff);
        if (!slot || !generation) continue;
        const auto number = static_cast<std::uint32_t>(*slot);
        std::uint32_t& begun = world_.begun[number];
        begun = static_cast<std::uint32_t>(*generation);
        const auto known = world_.slots.find(number);
        if (known == world_.slots.end()) continue;
        known->second.row.generation = std::max(known->second.row.generation, begun);
    }
}

}  // namespace thole::control
