// Where a system's things lie, from its folder, its id and who we are. Pure, but for reading and
// making the id.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/outside.h"

namespace thole::cli {

struct Places {
    std::string folder;  // Of thole.yaml; absolute.
    std::string id;      // 12 hexadecimal digits; empty before the first `up`.
    std::string run;     // On tmpfs: sockets, tables. Empty where the id is not known.
    std::string data;    // State, releases, spools. Empty likewise.

    bool is_known() const { return !run.empty(); }
    std::string id_file() const { return folder + "/.thole/id"; }
    std::string manifest_file() const { return folder + "/thole.yaml"; }
    std::string api_socket() const { return run + "/api.sock"; }
    std::string keeper_socket() const { return run + "/keeper.sock"; }
};

// Who asks, and what their environment says.
struct Asker {
    std::uint32_t uid = 0;
    std::string xdg_runtime_dir = {};
    std::string run_override = {};   // THOLE_RUN_DIR
    std::string data_override = {};  // THOLE_DATA_DIR
};

Places places_of(const std::string& folder, const std::string& id, const Asker& asker);

// The places of the system in this folder; its id is read, never made. Where nothing of ours runs
// in the run folder that our environment names, but in another of ours, it is that one.
Result<Places> find_places(Outside& outside, const std::string& folder);
// The same, and where the folder has no id it gets one. `.thole/` tells git to leave it alone.
Result<Places> make_places(Outside& outside, const std::string& folder);
// Denied where nothing of ours runs, and this folder's system was started by another user: a second
// one beside it would take its ports. Root is told of who made the id, others of root alone.
Status check_nobody_elses(Outside& outside, const Places& places, std::string_view command);

}  // namespace thole::cli
