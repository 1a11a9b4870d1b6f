#include "cli/places.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/printable.h"

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
        .with_hint("rm " + for_shell(path));
}

// Where a user who is not root has the sockets of a system, with XDG_RUNTIME_DIR and without.
std::vector<std::string> run_folders_of(std::uint32_t uid, const std::string& id) {
    return {fmt::format("/run/user/{}/thole/{}", uid, id),
            fmt::format("/dev/shm/thole-{}/{}", uid, id)};
}

bool runs_in(Outside& outside, const std::string& run) {
    env::Files& files = outside.env().files;
    return files.exists(run + "/api.sock") || files.exists(run + "/keeper.sock");
}

// A name in /dev/shm may have been taken by somebody else, who would be told all we say.
Status check_own(Outside& outside, const std::string& run, std::uint32_t uid) {
    for (const std::string& folder : {run.substr(0, run.rfind('/')), run}) {
        const std::uint32_t owner = outside.owner(folder).value_or(uid);
        if (owner == uid || owner == 0) continue;
        return denied(fmt::format("the run folder {} belongs to user {}", folder, owner))
            .with_hint("ls -ld " + folder);
    }
    return success();
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
    const Asker asker = asker_of(outside);
    Places places = places_of(real, id, asker);
    if (id.empty() || asker.uid == 0 || !asker.run_override.empty()) return places;
    if (runs_in(outside, places.run)) return places;
    // It was started from a session, and is asked from none, or the other way round.
    for (const std::string& run : run_folders_of(asker.uid, id)) {
        if (outside.owner(run) != asker.uid || !runs_in(outside, run)) continue;
        places.run = run;
        break;
    }
    return places;
}

Result<Places> make_places(Outside& outside, const std::string& folder) {
    const Places found = TRY(find_places(outside, folder));
    if (!found.id.empty()) return found;
    env::Env& env = outside.env();
    const std::string id = fmt::format("{:012x}", env.random.next() >> 16);
    TRY(env.files.make_folder(found.folder + "/.thole", 0755));
    TRY(env.files.replace(found.folder + "/.thole/.gitignore", "*\n", env::Durability::None, 0644));
    // Another `up` of the same moment may have been first: then its own counts.
    TRY(outside.make_once(found.id_file(), id + "\n"));
    return find_places(outside, folder);
}

Status check_nobody_elses(Outside& outside, const Places& places, std::string_view command) {
    const Asker asker = asker_of(outside);
    if (places.id.empty() || !asker.run_override.empty()) return success();
    if (asker.uid != 0) TRY(check_own(outside, places.run, asker.uid));
    if (runs_in(outside, places.run)) return success();
    if (asker.uid != 0) {
        const std::string run = "/run/thole/" + places.id;
        if (!outside.env().files.exists(run) || !outside.is_heard(run + "/api.sock"))
            return success();
        return denied(fmt::format("root runs thole for {}", places.folder))
            .with_hint(fmt::format("sudo thole {}", command));
    }
    // Only of whoever made the id: others may put there what they like.
    const std::uint32_t owner = outside.owner(places.id_file()).value_or(0);
    for (const std::string& run : run_folders_of(owner, places.id)) {
        if (owner == 0 || outside.owner(run) != owner || !outside.is_heard(run + "/api.sock"))
            continue;
        return denied(fmt::format("user {} runs thole for {}", owner, places.folder))
            .with_hint(fmt::format("THOLE_RUN_DIR={} thole {}", run, command));
    }
    return success();
}

}  // namespace thole::cli
