// What goes from the disk again: copies that nothing runs from and nobody goes back to, manifests
// that no release refers to. What an earlier control did not come to is found by looking at what is
// there.
#include <fmt/format.h>

#include <algorithm>

#include "base/parse.h"
#include "control/control.h"
#include "model/defaults.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kRemoveAgain = 5s;  // Where somebody still wrote there, say.

// "v17" is 17; 0: it is no copy of ours.
std::uint32_t number_of(std::string_view name) {
    if (!name.starts_with('v')) return 0;
    return static_cast<std::uint32_t>(parse_integer(name.substr(1), 1, 0xffffffff).value_or(0));
}

}  // namespace

// Pruned, and nothing of it runs or will.
bool Control::has_gone(const Service& service) {
    return service.row.is_removed && instances_of(world_, service.row.id).empty() &&
           may_stop(world_, service);
}

std::set<std::uint32_t> Control::releases_needed(const Service& service) {
    std::set<std::uint32_t> needed;
    for (const Instance* instance : instances_of(world_, service.row.id))
        needed.insert(instance->version.release);
    if (has_gone(service)) return needed;
    needed.insert(service.row.serving);
    needed.insert(service.row.wanted);
    if (service.staging.step != StagingStep::None) needed.insert(service.staging.release);
    int built = 0;
    for (auto at = service.releases.rbegin(); at != service.releases.rend(); ++at) {
        const model::ReleaseStatus status = at->second.status;
        // What an earlier control was making is made again.
        const bool goes_on =
            status == model::ReleaseStatus::Staging && at == service.releases.rbegin();
        const bool can_run =
            status == model::ReleaseStatus::Built && ++built <= model::kReleasesKept;
        if (goes_on || can_run) needed.insert(at->first);
    }
    return needed;
}

// After the commit that says so: nobody may take a copy for whole of which a part is gone.
void Control::remove_old_releases(Service& service) {
    const std::set<std::uint32_t> needed = releases_needed(service);
    const bool is_gone = has_gone(service);
    for (auto& [number, row] : service.releases) {
        // Why it came to nothing is told as long as there is no newer one.
        const bool is_told = !is_gone && number == service.releases.rbegin()->first &&
                             row.status > model::ReleaseStatus::Built;
        if (is_told || needed.contains(number) || row.status == model::ReleaseStatus::Removed)
            continue;
        row.status = model::ReleaseStatus::Removed;
        service.commands.erase(number);
        put(row);
    }
    if (is_gone && (service.row.wanted != 0 || service.row.serving != 0)) {
        service.row.wanted = service.row.serving = 0;
        put(service.row);
    }
    forget_manifests();
    if (service.releases.empty()) return;
    // Those that are made meanwhile are not among them.
    after_commit([this, id = service.row.id, newest = service.releases.rbegin()->first, needed] {
        remove_copies(id, newest, needed);
    });
}

// Up to this one, all but these.
void Control::remove_copies(std::uint32_t id, std::uint32_t newest,
                            const std::set<std::uint32_t>& kept) {
    const Service& service = world_.services[id];
    // Another one has its name by now, and its folder.
    if (find_known(world_, service.row.name) != &service) return;
    const std::string folder = fmt::format("{}/releases/{}", options_.data, service.row.name);
    const auto found = std::make_shared<std::vector<std::string>>();
    env_.errands.run(
        [&files = env_.files, folder, kept, newest, found] {
            const auto there = files.list(folder);
            for (const env::FileInfo& each : there ? *there : std::vector<env::FileInfo>{}) {
                const std::uint32_t number = number_of(each.name);
                if (number != 0 && number <= newest && !kept.contains(number))
                    found->push_back(folder + "/" + each.name);
            }
        },
        [this, alive = alive_, id, found] {
            if (*alive && !found->empty()) remove_folders(id, std::move(*found));
        });
}

void Control::remove_copy(Service& service, std::uint32_t number) {
    if (releases_needed(service).contains(number)) return;
    remove_folders(service.row.id, {release_folder(service, number)});
}

void Control::remove_folders(std::uint32_t id, std::vector<std::string> folders) {
    const auto removed = std::make_shared<Status>(success());
    env_.errands.run(
        [&trees = env_.trees, folders = std::move(folders), removed] {
            for (const std::string& folder : folders) {
                if (Status done = trees.remove(folder); !done) *removed = std::move(done);
            }
        },
        [this, alive = alive_, id, removed] {
            if (!*alive || *removed) return;
            world_.services[id].remove_again = env_.timers.after(
                kRemoveAgain, [this, id] { remove_old_releases(world_.services[id]); });
        });
}

// Those stay that a release that can run goes by, and those that tell whose its folders may be.
void Control::forget_manifests() {
    std::set<std::int64_t> kept = {world_.revision};
    for (const auto& [id, service] : world_.services) {
        if (service.staging.step != StagingStep::None) kept.insert(service.staging.revision);
        std::set<std::string> users;
        for (auto at = service.releases.rbegin(); at != service.releases.rend(); ++at) {
            const model::ReleaseRow& row = at->second;
            const model::ServiceSpec* const spec = spec_of(world_, service, at->first);
            const bool is_of_another = spec != nullptr && users.insert(spec->user).second;
            if (is_of_another || row.status != model::ReleaseStatus::Removed)
                kept.insert(row.revision);
        }
    }
    std::erase_if(world_.manifests, [&](const auto& each) {
        const bool is_kept = kept.contains(each.first);
        if (!is_kept) put(RemoveManifest{each.first});
        return !is_kept;
    });
    std::erase_if(world_.parsed, [&](const auto& each) { return !kept.contains(each.first); });
    after_commit([this, kept, newest = world_.revision] {
        env_.errands.run(
            [&files = env_.files, folder = options_.data + "/files", kept, newest] {
                const auto lists = files.list(folder);
                for (const env::FileInfo& each : lists ? *lists : std::vector<env::FileInfo>{}) {
                    const auto revision = parse_integer(each.name, 1, newest - 1);
                    if (revision && !kept.contains(*revision))
                        static_cast<void>(files.remove(folder + "/" + each.name));
                }
            },
            [] {});
    });
}

}  // namespace thole::control
