#include "control/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/parse.h"
#include "control/shares.h"
#include "manifest/read.h"

namespace thole::control {

const model::Manifest* applied(const World& world) {
    const auto found = world.parsed.find(world.revision);
    return found == world.parsed.end() ? nullptr : &found->second;
}

Service* find_service(World& world, std::string_view name) {
    Service* const service = find_known(world, name);
    return service == nullptr || service->row.is_removed ? nullptr : service;
}

Service* find_known(World& world, std::string_view name) {
    Service* found = nullptr;
    for (auto& [id, service] : world.services) {
        if (service.row.name == name && (found == nullptr || found->row.is_removed))
            found = &service;
    }
    return found;
}

std::vector<Instance*> instances_of(World& world, std::uint32_t service) {
    std::vector<Instance*> found;
    for (auto& [slot, instance] : world.instances) {
        if (instance.service == service) found.push_back(&instance);
    }
    return found;
}

const model::ServiceSpec* find_spec(const model::Manifest& manifest, std::string_view name) {
    for (const model::ServiceSpec& spec : manifest.services) {
        if (spec.name == name) return &spec;
    }
    return nullptr;
}

const model::ServiceSpec* spec_of(const World& world, const Service& service,
                                  std::uint32_t release) {
    const auto row = service.releases.find(release);
    if (row == service.releases.end()) return nullptr;
    const auto manifest = world.parsed.find(row->second.revision);
    return manifest == world.parsed.end() ? nullptr : find_spec(manifest->second, service.row.name);
}

const model::ServiceSpec& spec_at(const World& world, const Instance& instance) {
    const Service& service = world.services.at(instance.service);
    const model::ServiceSpec* const spec = spec_of(world, service, instance.version.release);
    return spec == nullptr ? service.spec : *spec;
}

namespace {

std::vector<const model::ServiceSpec*> specs_that_run(const World& world, const Service& service) {
    std::vector<const model::ServiceSpec*> specs;
    for (const auto& [slot, instance] : world.instances) {
        if (instance.service == service.row.id) specs.push_back(&spec_at(world, instance));
    }
    return specs;
}

}  // namespace

std::vector<const model::ServiceSpec*> specs_in_use(const World& world, const Service& service) {
    std::vector<const model::ServiceSpec*> specs;
    if (!service.row.is_removed) {
        specs.push_back(&service.spec);
        for (const std::uint32_t release : {service.row.wanted, service.row.serving}) {
            if (const auto* const spec = spec_of(world, service, release)) specs.push_back(spec);
        }
    }
    const std::vector<const model::ServiceSpec*> running = specs_that_run(world, service);
    specs.insert(specs.end(), running.begin(), running.end());
    return specs;
}

int count_of(const World& world, const Service& service) {
    const model::ServiceSpec* const spec = spec_of(world, service, service.row.wanted);
    if (spec != nullptr && spec->is_single()) return 1;
    if (service.row.scale >= 0) return service.row.scale;
    // The manifest wants a single one, whose release is still being made: as many as before.
    return spec != nullptr && service.spec.is_single() ? spec->scale : service.spec.scale;
}

bool is_single(const World& world, const Service& service) {
    // What serves may be started again, where the one that is wanted fails.
    for (const std::uint32_t release : {service.row.wanted, service.row.serving}) {
        const model::ServiceSpec* const spec = spec_of(world, service, release);
        if (spec != nullptr && spec->is_single()) return true;
    }
    return std::any_of(world.instances.begin(), world.instances.end(), [&](const auto& each) {
        return each.second.service == service.row.id && spec_at(world, each.second).is_single();
    });
}

namespace {

// Whom it calls, and whom these call, and so on.
std::set<std::string> reached_from(World& world, const Service& from) {
    std::set<std::string> reached;
    std::vector<std::string> open;
    const auto add = [&](const Service& service) {
        for (const model::ServiceSpec* const spec : specs_in_use(world, service))
            open.insert(open.end(), spec->calls.begin(), spec->calls.end());
    };
    add(from);
    while (!open.empty()) {
        const std::string name = std::move(open.back());
        open.pop_back();
        if (!reached.insert(name).second) continue;
        const Service* const service = find_known(world, name);
        if (service != nullptr) add(*service);
    }
    return reached;
}

}  // namespace

bool may_stop(World& world, const Service& service) {
    const std::set<std::string> reached = reached_from(world, service);
    for (const auto& [id, caller] : world.services) {
        if (id == service.row.id) continue;
        const bool is_to_stop = world.is_down || caller.row.is_removed;
        if (is_to_stop && reached.contains(caller.row.name)) continue;
        for (const model::ServiceSpec* const spec :
             is_to_stop ? specs_that_run(world, caller) : specs_in_use(world, caller)) {
            const std::vector<std::string>& calls = spec->calls;
            if (std::find(calls.begin(), calls.end(), service.row.name) != calls.end())
                return false;
        }
    }
    return true;
}

namespace {

// What became of its newest release, as far as the rows tell.
void recall_deploy(Service& service) {
    if (service.releases.empty()) return;
    const model::ReleaseRow& newest = service.releases.rbegin()->second;
    if (newest.status == model::ReleaseStatus::Broken)
        service.deploy = DeploySaid{newest.number, "broken", newest.reason};
    if (newest.status == model::ReleaseStatus::Reversed)
        service.deploy = DeploySaid{newest.number, "reversed", newest.reason};
    if (newest.status == model::ReleaseStatus::Built)
        service.deploy = DeploySaid{
            service.row.wanted, service.row.wanted == service.row.serving ? "done" : "rolling", {}};
}

}  // namespace

namespace {

// Each was accepted once; a later thole may refuse it. Without the one that is applied nothing is
// known; without an older one the releases that go by it cannot be started.
Result<std::vector<std::string>> read_manifests(World& world,
                                                std::vector<model::ManifestRow> rows) {
    std::vector<std::string> troubles;
    if (!rows.empty()) world.revision = rows.back().revision;
    for (model::ManifestRow& row : rows) {
        manifest::Reading reading = manifest::read_manifest(row.text);
        if (reading.manifest) {
            world.parsed.emplace(row.revision, std::move(*reading.manifest));
        } else {
            const Error error = manifest::error_of(reading.findings, row.folder);
            if (row.revision == world.revision) return error;
            troubles.push_back(
                fmt::format("the manifest of revision {} cannot be read any more: {}", row.revision,
                            error.text()));
        }
        world.manifests.emplace(row.revision, std::move(row));
    }
    return troubles;
}

}  // namespace

Result<std::vector<std::string>> fill(World& world, Stored stored) {
    std::vector<std::string> troubles = TRY(read_manifests(world, std::move(stored.manifests)));
    for (const model::ServiceRow& row : stored.services) world.services[row.id].row = row;
    for (const model::ReleaseRow& row : stored.releases)
        world.services[row.service].releases[row.number] = row;
    for (const model::SlotRow& row : stored.slots) world.slots[row.slot].row = row;
    for (const model::IntentRow& row : stored.intents) world.intents[row.slot] = row;
    for (const model::ListenerRow& row : stored.listeners) world.listeners[row.id] = row;
    for (const model::PauseRow& row : stored.pauses) world.pauses[row.service].row = row;
    for (model::SharesRow& row : stored.shares) {
        if (!parts_of(row)) troubles.push_back("shares that cannot be read: " + row.parts);
        world.shares[row.service] = std::move(row);
    }
    for (const model::NumberRow& row : stored.numbers) {
        if (row.name == "listener") world.listener_last = static_cast<std::uint32_t>(row.value);
        if (row.name == "is_down") world.is_down = row.value != 0;
        constexpr std::string_view kStaged = "staged ";
        constexpr std::string_view kEnded = "ended ";
        const auto number_after = [&row](std::string_view words) {
            return static_cast<std::uint32_t>(
                parse_integer(row.name.substr(words.size()), 1, 0xffffffff).value_or(0));
        };
        if (row.name.starts_with(kStaged)) world.staged[number_after(kStaged)] = row.value;
        if (row.name.starts_with(kEnded))
            world.ended[number_after(kEnded)] = static_cast<std::uint32_t>(row.value);
    }
    const model::Manifest* const manifest = applied(world);
    for (auto& [id, service] : world.services) {
        const model::ServiceSpec* spec =
            manifest == nullptr ? nullptr : find_spec(*manifest, service.row.name);
        // Not in the manifest any more: it goes on as it was last.
        if (spec == nullptr) spec = spec_of(world, service, service.row.wanted);
        if (spec != nullptr) service.spec = *spec;
        recall_deploy(service);
    }
    return troubles;
}

}  // namespace thole::control
