// `thole up`.
#include <algorithm>

#include <fmt/format.h>

#include "base/json.h"
#include "base/parse.h"
#include "cli/commands.h"
#include "cli/copied_folder.h"
#include "cli/follow.h"
#include "cli/printable.h"
#include "cli/project_files.h"
#include "cli/report.h"
#include "cli/table.h"

namespace thole::cli {
namespace {

using namespace std::chrono_literals;

constexpr Duration kControlStartLimit = 10s;
constexpr std::size_t kManifestBytesMax = 1024 * 1024;
constexpr std::size_t kSocketPathMax = 107;  // sun_path, less its end.

Error no_manifest(Outside& outside, const Places& places) {
    if (outside.env().files.exists(places.folder + "/thole.yml")) {
        return invalid(places.folder + " has a thole.yml; the manifest is called thole.yaml")
            .with_hint("mv thole.yml thole.yaml");
    }
    std::string name = places.folder.substr(places.folder.rfind('/') + 1);
    if (!check_name(name).ok()) name = "shop";
    return invalid(fmt::format("not yet: guessing services; there is no thole.yaml in {}",
                               places.folder))
        .with_hint(fmt::format("printf 'name: {}\\nservices:\\n  web: {{path: ., run: ./server, "
                               "public: 8080}}\\n' > thole.yaml",
                               name));
}

Result<std::string> read_manifest(Outside& outside, const Places& places) {
    if (!outside.env().files.exists(places.manifest_file())) return no_manifest(outside, places);
    return outside.env().files.read(places.manifest_file(), kManifestBytesMax);
}

// JSON is UTF-8: other bytes would arrive as other names than those on the disk.
Error not_utf8(const std::string& path) {
    return invalid(printable(path) + ": is not UTF-8")
        .with_hint("ls -b " + for_shell(path.substr(0, path.rfind('/'))));
}

// Starts thole where it does not run, and waits until control answers.
Status start_thole(Client& client, Console& console) {
    const Places& places = client.places();
    if (places.keeper_socket().size() > kSocketPathMax) {
        return invalid(fmt::format("{}: too long for a socket's path, which has at most {} bytes",
                                   places.keeper_socket(), kSocketPathMax))
            .with_hint(fmt::format("THOLE_RUN_DIR=/dev/shm/thole-{} thole up", places.id));
    }
    client.set_patience(0s);
    const Result<std::string> before =
        client.is_there() ? client.get("/api/v1/version") : client.nothing_runs();
    if (!before.ok() && before.error().code == Code::Denied) return before.error();
    if (!before.ok()) {
        console.talk("starting thole");
        TRY(client.outside().start_keeper(
            {.run = places.run, .data = places.data, .binaries = client.outside().binaries()}));
    }
    client.set_patience(kControlStartLimit);
    const Result<std::string> answer = client.get("/api/v1/version");
    client.set_patience(kControlRestartLimit);
    if (answer.ok()) return success();
    if (answer.error().code != Code::Unavailable) return answer.error();
    return unavailable(fmt::format("thole runs, but its control does not answer within {}",
                                   format_duration(kControlStartLimit)))
        .with_hint(fmt::format("tail {}", for_shell(places.data + "/keeper.log")));
}

Result<std::int64_t> send_manifest(Client& client, Console& console, const Arguments& arguments) {
    const Places& places = client.places();
    const std::string text = TRY(read_manifest(client.outside(), places));
    const std::vector<std::string> files = TRY(list_files(client.outside(), places.folder));
    if (!is_utf8(text)) return not_utf8(places.manifest_file());
    for (const std::string& file : files) {
        if (!is_utf8(file)) return not_utf8(places.folder + "/" + file);
    }
    // Ctrl-C ends git, too: what it listed may not be all.
    if (client.outside().is_interrupted())
        return unavailable("interrupted: nothing was applied").with_hint("thole up");
    JsonWriter w;
    w.begin_object().member("folder", places.folder).member("text", text);
    w.key("files").begin_array();
    for (const std::string& file : files) w.value(file);
    w.end_array().member("prune", arguments.has("prune")).end_object();
    const std::string body = TRY(client.put("/api/v1/manifest", w.take()));
    const Json answer = TRY(read_answer(body));
    const Json* const notes = answer.find("notes");
    if (notes != nullptr && notes->array() != nullptr) {
        for (const Json& note : *notes->array()) {
            if (note.text() != nullptr) console.talk(printable_lines(*note.text()));
        }
    }
    return answer.integer_at("revision");
}

void print_addresses(Console& console, const SystemView& system) {
    Table table{.head = {"", ""}, .rows = {}};
    for (const ServiceView& service : system.services) {
        if (!service.address.empty() && service.serves()) {
            table.rows.push_back({printable(service.name), printable(service.address)});
        }
    }
    if (table.rows.empty()) return;
    const std::string lines = lay_out(table, kAnyWidth);
    console.data(std::string_view(lines).substr(lines.find('\n') + 1));
}

}  // namespace

Result<int> up(const Arguments& arguments, Client& client, Console& console) {
    Outside& outside = client.outside();
    const Duration limit = TRY(arguments.duration("timeout", 10min));
    const Time begun = outside.env().clock.now();
    // Before anything is made or started.
    TRY(read_manifest(outside, client.places()));
    client.set_places(TRY(make_places(outside, client.places().folder)));
    TRY(check_nobody_elses(outside, client.places(), "up"));
    TRY(start_thole(client, console));
    const std::string before = TRY(client.get("/api/v1/system"));
    const SystemView former = TRY(read_system(before));
    TRY(check_folder(client, former));
    const std::int64_t after = TRY(last_sequence(client));
    const std::int64_t revision = TRY(send_manifest(client, console, arguments));
    const Waited waited = TRY(wait_until_settled(
        client, console,
        {.after = after, .limit = limit, .is_reached = [&](const SystemView& system) {
             return system.revision >= revision;
         }}));
    const int code = report(console, waited, {.took = outside.env().clock.now() - begun});
    if (!console.is_json()) print_addresses(console, waited.system);
    if (code != kServing || arguments.has("detach") || !console.is_watched()) return code;
    console.talk("Ctrl-C stops watching; the services go on; thole down ends them");
    const Ended ended = TRY(watch_on(client, console));
    console.talk(ended == Ended::Gone ? "thole has ended, and with it the services"
                                      : "the services go on; thole ps shows them");
    return code;
}

}  // namespace thole::cli
