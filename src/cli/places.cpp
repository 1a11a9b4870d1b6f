#include "cli/places.h"

#include <algorithm>

#include <fmt/format.h>

namespace thole::cli {
namespace {

constexpr std::size_t kIdDigits = 12;  // 48 bits: two systems of one machine never meet.

bool is_id(std::string_view text) {
    return text.size() == kIdDigits && std::all_of(text.begin(), text.end(), [](char c) {
               return ('0' <= c && c <= '9') || ('a' <= c && c <= 'f');
           });
}

Asker asker_of(Outside& outside) {
    return {.uid = outside.env().processes.self().uid,
            .xdg_runtime_dir = outside.variable("XDG_RUNTIME_DIR"),
            .run_override = outside.variable("THOLE_RUN_DIR"),
            .data_override = outside.variable("THOLE_DATA_DIR")};
}

// Empty where the folder has none.
Result<std::string> read_id(Outside& outside, const std::string& path) {
    if (!outside.env().files.exists(path)) return std::string();
    std::string id = TRY(outside.env().files.read(path, 64));
    while (!id.empty() && id.back() == '\n') id.pop_back();
    if (is_id(id)) return id;
    return corrupt(path + ": is not the id of a system, which has 12 hexadecimal digits")
        .with_hint("rm " + path);
}

// Where a user who is not root has the sockets of their systems, of all such users.
std::vector<std::string> folders_of_users(env::Files& files) {
    std::vector<std::string> folders;
    for (const std::string parent : {"/run/user", "/dev/shm"}) {
        const Result<std::vector<env::FileInfo>> found = files.list(parent);
        if (!found.ok()) continue;
        for (const env::FileInfo& each : *found) {
            if (parent == "/run/user")
                folders.push_back(fmt::format("{}/{}/thole", parent, each.name));
            else if (each.is_folder && each.name.starts_with("thole-"))
                folders.push_back(fmt::format("{}/{}", parent, each.name));
        }
    }
    return folders;
}

}  // namespace

Places places_of(const std::string& folder, const std::string& id, const Asker& asker) {
    Places places{.folder = folder, .id = id, .run = {}, .data = {}};
    const bool is_root = asker.uid == 0;
    if (!id.empty()) {
        places.run = is_root ? "/run/thole/" + id
                     : !asker.xdg_runtime_dir.empty()
                         ? asker.xdg_runtime_dir + "/thole/" + id
                         : fmt::format("/dev/shm/thole-{}/{}", asker.uid, id);
        places.data = is_root ? "/var/lib/thole/" + id : folder + "/.thole/data";
    }
    if (!asker.run_override.empty()) places.run = asker.run_override;
    if (!asker.data_override.empty()) places.data = asker.data_override;
    return places;
}

Result<Places> find_places(Outside& outside, const std::string& folder) {
    const std::string real = TRY(outside.real_folder(folder));
    const Places bare{.folder = real, .id = {}, .run = {}, .data = {}};
    const std::string id = TRY(read_id(outside, bare.id_file()));
    return places_of(real, id, asker_of(outside));
}

Result<Places> make_places(Outside& outside, const std::string& folder) {
    const Places found = TRY(find_places(outside, folder));
    if (!found.id.empty()) return found;
    env::Env& env = outside.env();
    const std::string id = fmt::format("{:012x}", env.random.next() >> 16);
    TRY(env.files.make_folder(found.folder + "/.thole", 0755));
    TRY(env.files.replace(found.folder + "/.thole/.gitignore", "*\n", env::Durability::None, 0644));
    TRY(env.files.replace(found.id_file(), id + "\n", env::Durability::Synced, 0644));
    // Another `up` of the same moment may have written its own after ours: then that one counts.
    return find_places(outside, folder);
}

Status check_nobody_elses(Outside& outside, const Places& places, std::string_view command) {
    const Asker asker = asker_of(outside);
    env::Files& files = outside.env().files;
    if (places.id.empty() || !asker.run_override.empty() || files.exists(places.api_socket()) ||
        files.exists(places.keeper_socket()))
        return success();
    if (asker.uid != 0) {
        if (!files.exists("/run/thole/" + places.id)) return success();
        return denied(fmt::format("root runs thole for {}", places.folder))
            .with_hint(fmt::format("sudo thole {}", command));
    }
    for (const std::string& folder : folders_of_users(files)) {
        const std::string run = fmt::format("{}/{}", folder, places.id);
        if (!files.exists(run + "/keeper.sock")) continue;
        return denied(fmt::format("somebody who is not root runs thole for {}", places.folder))
            .with_hint(fmt::format("THOLE_RUN_DIR={} thole {}", run, command));
    }
    return success();
}

}  // namespace thole::cli
