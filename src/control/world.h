// What control knows at this moment: the rows it remembers, and what runs. Owned by the loop.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/edge_totals.h"
#include "control/pauses.h"
#include "control/probe.h"
#include "control/service.h"
#include "control/store.h"
#include "model/instance.h"
#include "model/manifest.h"
#include "model/records.h"
#include "recovery/leaving.h"
#include "wire/edge.h"
#include "wire/fault.h"
#include "wire/keeper.h"

namespace thole::control {

struct Instance {
    model::InstanceId id;
    std::uint32_t service = 0;
    model::Version version;
    std::uint16_t port = 0;                      // 0: it listens nowhere.
    std::unique_ptr<env::PortClaim> port_claim;  // Of one that we chose.
    std::uint32_t pid = 0;                       // 0: keeper has not said yet.
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

// What its instance did with what it says, as it was seen last.
struct Output {
    std::uint32_t generation = 0;
    std::uint64_t sizes[2] = {0, 0};
    std::uint64_t dropped = 0;
    Time told{};
    std::string reason;  // In words; empty: nothing to tell.
};

struct Slot {
    model::SlotRow row;
    SlotUse use = SlotUse::Free;
    std::uint64_t dropped_bytes[2] = {0, 0};
    int restarts = 0;  // Since control started.
    Time used{};       // When something was started here last.
    Output output;
    env::Timer forget;
};

struct World {
    std::map<std::int64_t, model::ManifestRow> manifests;
    std::map<std::int64_t, model::Manifest> parsed;  // The same, read.
    std::int64_t revision = 0;                       // Applied; 0: none.
    std::map<std::uint32_t, Service> services;       // By id.
    std::map<std::uint32_t, Slot> slots;
    std::map<std::uint32_t, std::uint32_t> begun;  // By slot: its newest generation, as noted.
    std::map<std::uint32_t, std::uint32_t> ended;  // By slot: whose end was told last.
    std::set<std::uint32_t> emptied;  // Slots whose spools are being removed: nothing starts there.
    std::map<std::uint32_t, Instance> instances;        // By slot.
    std::map<std::uint32_t, model::IntentRow> intents;  // By slot; as read at the start.
    std::map<std::uint32_t, model::ListenerRow> listeners;
    std::set<std::uint32_t> left_open;  // Listeners that keeper has and nobody wants.
    std::uint32_t listener_last = 0;    // The newest number of a listener that ever was.
    std::map<std::uint32_t, std::int32_t> listener_errors;  // errno of those not parked.
    std::map<std::uint32_t, wire::RoleState> roles;
    std::map<std::uint32_t, Pause> pauses;             // By service.
    std::map<std::uint32_t, model::SharesRow> shares;  // By service.
    std::map<std::uint32_t, std::int64_t> staged;      // Up to which revision, by service.
    wire::SyncedEvent keeper{};
    wire::Welcome edge{};
    wire::StatsHeader traffic{};
    std::uint32_t queued = 0;  // Requests that wait for a place at their service.
    EdgeTotals edge_totals;
    std::vector<wire::FaultState> faults;  // As the edge tells, also those that are over; by id.
    std::map<std::uint32_t, std::string> fault_ends;             // By id: why before its time.
    std::map<std::uint32_t, wire::EndpointStats> early_stats;    // By slot, of what is not adopted.
    std::uint64_t manifests_refused = 0, snapshots_refused = 0;  // Since control began.
    bool is_down = false;                                        // `thole down` was said.
};

// The manifest that is applied, or nullptr.
const model::Manifest* applied(const World& world);
Service* find_service(World& world, std::string_view name);
// The same, also where it was removed: it may still run, and has its name for good.
Service* find_known(World& world, std::string_view name);
std::vector<Instance*> instances_of(World& world, std::uint32_t service);
const model::ServiceSpec* find_spec(const model::Manifest& manifest, std::string_view name);
// What the newest manifest that asks for this release says of its service; nullptr: no such
// release.
const model::ServiceSpec* spec_of(const World& world, const Service& service,
                                  std::uint32_t release);
// The same of what runs, which may have lost its row: then as the manifest that is applied has it.
const model::ServiceSpec& spec_at(const World& world, const Instance& instance);
// As the manifest that is applied has it, and as the releases that run or may be started have it:
// what any of them needs must be there.
std::vector<const model::ServiceSpec*> specs_in_use(const World& world, const Service& service);
// Instances that should serve: one, where the release that is wanted is a single one.
int count_of(const World& world, const Service& service);
// Two must not run at once: of what is wanted, what has served, or what still runs.
bool is_single(const World& world, const Service& service);
// True where nobody calls it any more: callers end first, but for those that it calls itself and
// that are to stop, too. One that goes on calls it also by a release that may be started again.
bool may_stop(World& world, const Service& service);
// Makes it of what the store had. In words, what of it cannot be read any more and is left out.
Result<std::vector<std::string>> fill(World& world, Stored stored);

}  // namespace thole::control
