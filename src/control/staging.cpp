// From a manifest to releases that can run: digest, private copy, build (builds.cpp). Begun anew by
// the next control where this one dies in the middle.
#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "control/control.h"
#include "control/ports.h"
#include "manifest/read.h"

namespace thole::control {
namespace {

constexpr std::uint32_t kUidFirst = 61184;  // Debian assigns none of these (policy 9.2.2).
constexpr std::uint32_t kUidCount = 4336;
constexpr Duration kUserAgain = std::chrono::seconds(1);
constexpr std::size_t kFilesBytesMax = 64 * 1024 * 1024;

std::string command_text(const model::Command& command) {
    std::string text = command.is_shell ? "text" : "list";
    for (const std::string& word : command.words) text += '\0' + word;
    return text;
}

// What makes two releases of the same files different.
std::string digest_extra(const model::ServiceSpec& spec) {
    std::string text = command_text(spec.build) + '\1' + command_text(spec.run) + '\1';
    for (const auto& [name, value] : spec.environment) text += name + '=' + value + '\0';
    text += '\1';
    for (const std::string& call : spec.calls) text += call + '\0';
    text += '\1' + spec.user;  // Its files are that user's.
    text += spec.state_bytes > 0 ? "\1state" : "\1";
    if (spec.port_use == model::PortUse::None) text += "\1none";
    return spec.port_use == model::PortUse::Fixed ? text + fmt::format("\1{}", spec.port) : text;
}

// Those of the list that lie below the service's folder, relative to it.
std::vector<std::string> files_below(const std::string& list, const std::string& path) {
    std::string prefix = path;
    while (prefix.starts_with("./")) prefix.erase(0, 2);
    while (prefix.ends_with("/")) prefix.pop_back();
    if (prefix == ".") prefix.clear();
    if (!prefix.empty()) prefix += '/';
    std::vector<std::string> files;
    for (std::size_t at = 0; at < list.size();) {
        const std::size_t end = std::min(list.find('\0', at), list.size());
        const std::string_view name = std::string_view(list).substr(at, end - at);
        if (name.starts_with(prefix) && name.size() > prefix.size())
            files.emplace_back(name.substr(prefix.size()));
        at = end + 1;
    }
    return files;
}

// Of a service's files, those that the manifest was sent with. None is a release, too: its program
// may be the machine's own.
Result<std::string> digest_of(env::Env& env, const std::string& folder,
                              const std::vector<std::string>& files, const std::string& extra,
                              const std::string& name) {
    Result<std::string> digest = env.trees.digest(folder, files, extra);
    if (digest.ok() || digest.error().code != Code::NotFound || env.files.exists(folder))
        return digest;
    return not_found(fmt::format("services.{}.path: there is no folder {}", name, folder))
        .with_hint(fmt::format("path: . (the folder of thole.yaml), or mkdir {}", folder));
}

std::string join_path(const std::string& folder, const std::string& path) {
    return path.empty() || path == "." ? folder : folder + "/" + path;
}

}  // namespace

std::string Control::release_folder(const Service& service, std::uint32_t number) const {
    return fmt::format("{}/releases/{}/v{}", options_.data, service.row.name, number);
}
std::string Control::state_folder(const Service& service) const {
    return fmt::format("{}/state/{}", options_.data, service.row.name);
}

std::string Control::spool_of(const Service& service, const model::SlotRow& slot) const {
    const std::string place = slot.is_build ? "build" : std::to_string(slot.slot);
    return fmt::format("{}/spool/{}-{}", options_.data, service.row.name, place);
}

// An error where its user cannot be looked up, for a while or for good: it is nobody else's then.
Result<env::Owner> Control::owner_of(const Service& service, const model::ServiceSpec& spec) const {
    const env::Owner self = env_.processes.self();
    if (self.uid != 0 || spec.user == "root") return self;
    if (!spec.user.empty()) return env_.processes.user(spec.user);
    return env::Owner{service.row.uid, service.row.uid};
}

// Of any release: then its folders may be that one's.
bool Control::had_another_user(const Service& service, const model::ServiceSpec& spec) const {
    return std::any_of(service.releases.begin(), service.releases.end(), [&](const auto& each) {
        const model::ServiceSpec* const other = spec_of(world_, service, each.first);
        return other != nullptr && other->user != spec.user;
    });
}

// What it keeps goes to the user of the release that is to start, once nobody runs who had it
// before. False until that is done.
bool Control::owns_state(Service& service, const model::ServiceSpec& spec) {
    const Result<env::Owner> looked_up = owner_of(service, spec);
    if (!looked_up) {
        service.trouble = looked_up.error().message;
        mark_later(service);
        return false;
    }
    const env::Owner owner = *looked_up;
    if (service.state_uid == owner.uid || !had_another_user(service, spec)) return true;
    if (std::exchange(service.is_handing_over, true)) return false;
    const auto done = std::make_shared<Status>(success());
    env_.errands.run([&trees = env_.trees, folder = state_folder(service), owner,
                      done] { *done = trees.hand_over(folder, owner, 0700); },
                     [this, alive = alive_, id = service.row.id, owner, done] {
                         if (!*alive) return;
                         Service& served = world_.services[id];
                         served.is_handing_over = false;
                         served.trouble = *done ? "" : done->error().message;
                         if (!*done) return mark_later(served);
                         served.state_uid = owner.uid;
                         mark(id);
                     });
    return false;
}

Service& Control::add_service(const model::ServiceSpec& spec) {
    std::uint32_t id = 1;
    for (const auto& [known, service] : world_.services) id = std::max(id, known + 1);
    Service& service = world_.services[id];
    service.row.id = id;
    service.row.name = spec.name;
    if (env_.processes.self().uid == 0) {
        // Away from another system's on the same machine, as far as a hash can.
        const std::uint32_t base = crc32c(options_.id) % kUidCount;
        service.row.uid = kUidFirst + (base + id) % kUidCount;
    }
    return service;
}

// A name that was removed is in the manifest again. Its state and its folders go by that name, and
// some of it may still run: it stays the service that it was, with its user and its numbers.
void Control::bring_back(Service& service) {
    service.row.is_removed = false;
    service.row.scale = -1;
    service.failures = service.proven_failures = {};
    service.last_failure.clear();
    service.trouble.clear();
    service.deploy.reset();
    service.is_settled = false;
    say({.kind = "service back",
         .service = service.row.name,
         .text = "it was removed before: what it keeps is its own again"});
}

Status Control::apply(const Wanted& asked, std::vector<std::string>& notes) {
    manifest::Reading reading = manifest::read_manifest(asked.text);
    if (!reading.manifest) return manifest::error_of(reading.findings, "thole.yaml");
    for (const model::ServiceSpec& spec : reading.manifest->services) {
        if (spec.user.empty() || spec.user == "root") continue;
        const auto user = env_.processes.user(spec.user);
        if (!user) return Error{user.error()}.within(fmt::format("services.{}.user", spec.name));
        const std::uint32_t self = env_.processes.self().uid;
        if (self != 0 && user->uid != self)
            notes.push_back(
                fmt::format("{} does not run as {}: thole is not root here; try: sudo thole up",
                            spec.name, spec.user));
    }
    const model::Manifest& wanted = *reading.manifest;
    TRY(check_room(world_, wanted, asked.prune));
    for (const model::ServiceSpec& spec : wanted.services) {
        Service* const known = find_known(world_, spec.name);
        Service& service = known == nullptr ? add_service(spec) : *known;
        if (service.row.is_removed) bring_back(service);
        if (service.spec.scale != spec.scale) service.row.scale = -1;
        service.spec = spec;
        give_up_staging(service);  // What was under way went by the one before.
        put(service.row);
    }
    for (auto& [id, service] : world_.services) {
        if (service.row.is_removed || find_spec(wanted, service.row.name) != nullptr) continue;
        if (asked.prune == Prune::No) {
            notes.push_back(
                fmt::format("{} is not in the manifest any more and goes on; try: "
                            "thole up --prune",
                            service.row.name));
            continue;
        }
        service.row.is_removed = true;
        put(service.row);
        give_up_staging(service);
        say({.kind = "service removed", .service = service.row.name, .text = "by up --prune"});
        resume(id, "it is removed");
    }
    const std::int64_t revision = ++world_.revision;
    model::ManifestRow row{revision, asked.folder, asked.text, env_.clock.wall()};
    put(row);
    put(model::NumberRow{"is_down", 0});
    world_.is_down = false;
    world_.manifests[revision] = std::move(row);
    world_.parsed[revision] = std::move(*reading.manifest);
    say({.kind = "manifest applied",
         .text = fmt::format("revision {} of {}", revision, asked.folder)});
    snapshot_is_stale_ = true;
    ensure_listeners();
    return success();
}

void Control::stage_all() {
    if (world_.is_down) return;
    for (auto& [id, service] : world_.services) {
        if (service.row.is_removed || applied(world_) == nullptr) continue;
        // What was staged already is not looked at again: files may have been edited since.
        const auto done = world_.staged.find(id);
        if (done != world_.staged.end() && done->second == world_.revision) continue;
        if (find_spec(*applied(world_), service.row.name) != nullptr) stage(id);
    }
}

void Control::stage(std::uint32_t id) {
    Service& service = world_.services[id];
    give_up_staging(service);  // One at a time.
    service.staging.step = StagingStep::Digest;
    service.staging.revision = world_.revision;
    service.staging.began = env_.clock.now();
    const std::string folder =
        join_path(world_.manifests[world_.revision].folder, service.spec.path);
    const std::string list = fmt::format("{}/files/{}", options_.data, world_.revision);
    const auto digest = std::make_shared<Result<std::string>>(unavailable("not read yet"));
    const auto is_empty = std::make_shared<bool>(false);
    env_.errands.run(
        [&env = env_, folder, list, path = service.spec.path, extra = digest_extra(service.spec),
         name = service.row.name, is_empty, digest] {
            const auto names = env.files.read(list, kFilesBytesMax);
            const auto files = files_below(names ? *names : std::string(), path);
            *is_empty = files.empty();
            *digest = names ? digest_of(env, folder, files, extra, name)
                            : Result<std::string>(names.error());
        },
        [this, alive = alive_, id, revision = world_.revision, is_empty, digest] {
            if (!*alive) return;
            world_.services[id].staging.is_empty = *is_empty;
            on_digest(id, revision, *digest);
        });
}

void Control::on_digest(std::uint32_t id, std::int64_t revision,
                        const Result<std::string>& digest) {
    Service& service = world_.services[id];
    if (service.staging.revision != revision || service.staging.step != StagingStep::Digest) return;
    if (!digest) return release_is_broken(service, digest.error().text());
    const auto found =
        std::find_if(service.releases.rbegin(), service.releases.rend(), [&](const auto& each) {
            return each.second.digest == *digest &&
                   each.second.status <= model::ReleaseStatus::Built;
        });
    if (found == service.releases.rend()) return begin_release(service, *digest);
    // What else its manifest says (health, stop, scale) goes by the newest that asks for it.
    found->second.revision = revision;
    put(found->second);
    service.staging.release = found->first;
    service.staging.digest = *digest;
    if (found->second.status == model::ReleaseStatus::Built)
        return want_when_kept(service, found->first);
    begin_release(service, *digest);
}

// Its private copy. A row that an earlier control left half made is made again from the start.
void Control::begin_release(Service& service, const std::string& digest) {
    Staging& staging = service.staging;
    for (auto& [number, row] : service.releases) {
        if (row.status != model::ReleaseStatus::Staging || number == staging.release) continue;
        row.status = model::ReleaseStatus::Broken;
        row.reason = "given up for a newer one";
        put(row);
        remove_copy(service, number);
    }
    if (staging.release == 0) {
        staging.release = service.releases.empty() ? 1 : service.releases.rbegin()->first + 1;
        model::ReleaseRow row;
        row.service = service.row.id;
        row.number = staging.release;
        row.digest = digest;
        row.revision = staging.revision;
        row.made = env_.clock.wall();
        service.releases[row.number] = row;
        put(row);
        say({.kind = "release new",
             .service = service.row.name,
             .text = fmt::format("v{} is new: {}{}", row.number, digest.substr(0, 12),
                                 staging.is_empty ? "; it holds no file: none that git would list "
                                                    "lies below its path, links left alone"
                                                  : "")});
    }
    staging.step = StagingStep::Copy;
    staging.digest = digest;
    const std::int64_t revision = staging.revision;
    service.deploy = DeploySaid{staging.release, "staging", {}};
    const std::string folder = release_folder(service, staging.release);
    const std::string from = join_path(world_.manifests[revision].folder, service.spec.path);
    const std::string list = fmt::format("{}/files/{}", options_.data, revision);
    const std::string cache = fmt::format("{}/cache/{}", options_.data, service.row.name);
    // What another user keeps there stays that user's until nobody of its own runs any more.
    const bool keeps = service.spec.state_bytes > 0 && !had_another_user(service, service.spec);
    const std::string state = keeps ? state_folder(service) : std::string();
    const Result<env::Owner> owner = owner_of(service, service.spec);
    if (!owner) {
        service.trouble = owner.error().message;
        staging.again = env_.timers.after(kUserAgain, [this, id = service.row.id] {
            Service& staged = world_.services[id];
            begin_release(staged, std::string(staged.staging.digest));
        });
        return;
    }
    const auto copied = std::make_shared<Status>(success());
    env_.errands.run(
        [&env = env_, from, list, folder, cache, state, owner = *owner, digest,
         path = service.spec.path, extra = digest_extra(service.spec), copied,
         spool = options_.data + "/spool"] {
            *copied = [&]() -> Status {
                TRY(env.files.make_folder(spool, 0711));
                const std::string names = TRY(env.files.read(list, kFilesBytesMax));
                const std::vector<std::string> files = files_below(names, path);
                TRY(env.trees.hand_over(cache, owner, 0700));
                if (!state.empty()) TRY(env.trees.make_owned(state, owner, 0700));
                TRY(env.trees.copy({from, files, folder, owner}));
                TRY(env.trees.make_owned(folder, owner, 0700));
                // Files that were edited meanwhile: what was copied is not what was asked for.
                const std::string found = TRY(env.trees.digest(folder, files, extra));
                if (found != digest)
                    return conflict("files changed while they were copied").with_hint("thole up");
                return success();
            }();
        },
        [this, alive = alive_, id = service.row.id, revision, copied] {
            if (*alive && world_.services[id].staging.revision == revision) on_copied(id, *copied);
        });
}

void Control::on_copied(std::uint32_t id, const Status& copied) {
    Service& service = world_.services[id];
    if (service.staging.step != StagingStep::Copy) return;
    if (!copied) return release_is_broken(service, copied.error().text());
    if (spec_of(world_, service, service.staging.release)->build.empty())
        return release_is_built(service);
    build(service);
}

void Control::release_is_built(Service& service) {
    model::ReleaseRow& row = service.releases[service.staging.release];
    row.status = model::ReleaseStatus::Built;
    put(row);
    say({.kind = "release built",
         .service = service.row.name,
         .text = fmt::format("v{} is ready to run after {}", row.number,
                             format_duration(env_.clock.now() - service.staging.began))});
    want_when_kept(service, row.number);
}

void Control::release_is_broken(Service& service, std::string reason) {
    // One line of the timeline.
    constexpr std::string_view kTry = "\n  try: ";
    if (const std::size_t hint = reason.find(kTry); hint != std::string::npos)
        reason.replace(hint, kTry.size(), "; try: ");
    const std::uint32_t number = service.staging.release;
    if (number != 0) {
        model::ReleaseRow& row = service.releases[number];
        row.status = model::ReleaseStatus::Broken;
        row.reason = reason;
        put(row);
    }
    say({.kind = "release broken", .service = service.row.name, .text = reason});
    service.deploy = DeploySaid{number, "broken", std::move(reason)};
    is_staged(service);
    // At once: where it is what fills the disk no commit comes before it is gone. Whoever comes
    // after us and does not know that it is broken makes its copy anew.
    if (number != 0) remove_copy(service, number);
    remove_old_releases(service);
    mark(service.row.id);
}

void Control::is_staged(Service& service) {
    service.staging.step = StagingStep::None;
    world_.staged[service.row.id] = service.staging.revision;
    put(model::NumberRow{fmt::format("staged {}", service.row.id), service.staging.revision});
}

// Nothing runs of a release that is not on the disk: whoever comes after us would give its number
// to another one, and take what runs for that.
void Control::want_when_kept(Service& service, std::uint32_t number) {
    after_commit([this, id = service.row.id, revision = service.staging.revision, number] {
        Service& staged = world_.services[id];
        const bool is_under_way = staged.staging.step != StagingStep::None;
        // Taken back meanwhile, and asked for once more.
        model::ReleaseRow& release = staged.releases[number];
        if (is_under_way && release.status == model::ReleaseStatus::Reversed) {
            release.status = model::ReleaseStatus::Built;
            put(release);
        }
        if (is_under_way && staged.staging.revision == revision) want_release(staged, number);
    });
    mark(service.row.id);
}

void Control::want_release(Service& service, std::uint32_t number) {
    is_staged(service);
    if (service.row.wanted != number) {
        // What serves keeps its back-off.
        if (service.row.wanted == service.row.serving) service.proven_failures = service.failures;
        // The new one would never have a share. What served is wanted back: judge() ends them.
        if (number != service.row.serving && are_of_another(service, number))
            share(service, {}, "another release is wanted");
        service.row.wanted = number;
        service.is_settled = false;
        service.failures = {};
        service.deploy_began = env_.clock.now();
        service.deploy = DeploySaid{number, "rolling", {}};
        put(service.row);
        say({.kind = "deploy began",
             .service = service.row.name,
             .text = service.row.serving == 0
                         ? fmt::format("v{} is the first", number)
                         : fmt::format("v{} takes the place of v{}", number, service.row.serving)});
    } else {
        // Asked for again: what waited for its next try does not wait any longer.
        service.failures = service.proven_failures = {};
        if (service.deploy && service.deploy->status != "rolling") service.deploy.reset();
        remove_old_releases(service);
    }
    mark(service.row.id);
}

}  // namespace thole::control
