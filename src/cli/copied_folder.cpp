#include "cli/copied_folder.h"

#include <fmt/format.h>

#include "cli/printable.h"

namespace thole::cli {

Status check_folder(Client& client, const SystemView& system) {
    const Places& places = client.places();
    if (system.folder.empty() || system.folder == places.folder) return success();
    const std::string other = system.folder + "/.thole/id";
    const Result<std::string> id = client.outside().env().files.read(other, 64);
    if (client.outside().is_same(other, places.id_file())) return success();
    if (!id.ok() || id->compare(0, places.id.size(), places.id) != 0) return success();
    return conflict(fmt::format("{} has the same id as {}, which runs: is it a copy?",
                                places.folder, system.folder))
        .with_hint("rm -r " + for_shell(places.folder + "/.thole"));
}

}  // namespace thole::cli
