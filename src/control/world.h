// What control knows at this moment: the rows it remembers, and what runs. Owned by the loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/probe.h"
#include "control/store.h"
#include "model/instance.h"
#include "model/manifest.h"
#include "model/records.h"
#include "recovery/back_off.h"
#include "recovery/leaving.h"
#include "wire/edge.h"
#include "wire/keeper.h"

namespace thole::control {

struct Instance {
    model::InstanceId id;
    std::uint32_t service = 0;
    model::Version version;
    std::uint16_t port = 0;  // 0: it listens nowhere.
    std::uint32_t pid = 0;   // 0: keeper has not said yet.
    model::Stage stage = model::Stage::Starting;
    Time since{};  // In this stage.
    Time spawned{};
    Time ready_since{};       // Time{}: it never was.
    std::string reason;       // In words: why it is where it is.
    bool was_killed = false;  // By us: where it did not become ready, or did not end when asked.
    std::unique_ptr<Probe> probe;
    Time explained{};  // When its silence was looked into last.
    bool is_explaining = false;
    env::Timer look_again;

    // Leaving only.
    recovery::Leaving leaving = recovery::Removing{};
    bool is_stuck = false;          // Said: not ready in time.
    bool is_durable = false;        // The intent is on disk: what cannot be taken back may begin.
    bool was_asked = false;         // We ended it, or are about to.
    std::optional<model::End> end;  // Of its first process, while others of it may still run.
    Time ended{};
    wire::Remains remains = wire::Remains::Unknown;
    bool is_cut = false;
    bool is_acknowledged = false;
    std::uint64_t removal = 0;  // The edge's sequence that takes it out; 0: not said yet.
    // What the acknowledgement of it names: nothing else may reach it from then on.
    std::vector<wire::RequestId> named;

    wire::EndpointStats stats{};
};

enum class SlotUse : std::uint8_t { Free, Taken, Forgetting };

struct Slot {
    model::SlotRow row;
    SlotUse use = SlotUse::Free;
    std::uint64_t dropped_bytes[2] = {0, 0};
    int restarts = 0;  // Since control started.
    Time used{};       // When something was started here last.
    env::Timer forget;
};

struct DeploySaid {
    std::uint32_t release = 0;
    std::string status;  // docs/reference/api.md
    std::string reason;
};

// From the manifest to a release that can run.
enum class StagingStep : std::uint8_t { None, Digest, Copy, Build };

struct Staging {
    StagingStep step = StagingStep::None;
    std::int64_t revision = 0;
    std::uint32_t release = 0;  // The row that is being made.
    std::string digest;
    std::uint32_t build_slot = 0;  // 0: no build runs.
    std::uint32_t build_generation = 0;
    env::Timer again;  // Where keeper had no place for the build.
    env::Timer limit;  // Of the build.
    Time began{};
};

struct Service {
    model::ServiceRow row;
    model::ServiceSpec spec;  // As the manifest that is applied has it.
    std::map<std::uint32_t, model::ReleaseRow> releases;
    recovery::Failures failures;  // Of the version that is wanted.
    std::string last_failure;
    std::string trouble;       // Why nothing can be started.
    std::string port_trouble;  // Why nobody reaches it: its port is taken, say.
    std::optional<DeploySaid> deploy;
    Staging staging;
    Time deploy_began{};
    bool is_settled = false;
    bool was_serving = false;  // Told on the timeline when it changes.
    env::Timer again;

    model::Version wanted() const { return {row.wanted, row.restart}; }
    int count() const { return row.scale >= 0 ? row.scale : spec.scale; }
};

struct World {
    std::map<std::int64_t, model::ManifestRow> manifests;
    std::map<std::int64_t, model::Manifest> parsed;  // The same, read.
    std::int64_t revision = 0;                       // Applied; 0: none.
    std::map<std::uint32_t, Service> services;       // By id.
    std::map<std::uint32_t, Slot> slots;
    std::map<std::uint32_t, std::uint32_t> begun;       // By slot: its newest generation, as noted.
    std::map<std::uint32_t, Instance> instances;        // By slot.
    std::map<std::uint32_t, model::IntentRow> intents;  // By slot; as read at the start.
    std::map<std::uint32_t, model::ListenerRow> listeners;
    std::map<std::uint32_t, std::int32_t> listener_errors;  // errno of those not parked.
    std::map<std::uint32_t, wire::RoleState> roles;
    std::map<std::uint32_t, std::int64_t> staged;  // Up to which revision, by service.
    wire::SyncedEvent keeper{};
    wire::Welcome edge{};
    wire::StatsHeader traffic{};
    std::map<std::uint32_t, wire::EndpointStats> early_stats;  // By slot, of what is not adopted.
    bool is_down = false;                                      // `thole down` was said.
};

// The manifest that is applied, or nullptr.
const model::Manifest* applied(const World& world);
Service* find_service(World& world, std::string_view name);
std::vector<Instance*> instances_of(World& world, std::uint32_t service);
const model::ServiceSpec* find_spec(const model::Manifest& manifest, std::string_view name);
// The command, environment and calls of a release, as its manifest had them.
const model::ServiceSpec* spec_of(const World& world, const Service& service,
                                  std::uint32_t release);
// True where nothing that runs and is not itself called by this one calls it: callers end first.
bool may_stop(World& world, const Service& service);
// Makes it of what the store had.
Status fill(World& world, Stored stored);

}  // namespace thole::control
