#include "control/control.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "control/api.h"
#include "wire/slots.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

// Everything is looked at again so often, whatever was heard: the safety net.
constexpr Duration kResync = 1s;
// Later than that no turn comes of one that runs.
constexpr Duration kLateMax = 1s;
// After a start into a system that is down: so long for somebody to say `up`.
constexpr Duration kDownLinger = 3s;

std::string_view role_name(std::uint32_t role) {
    switch (static_cast<wire::Role>(role)) {
        case wire::Role::Keeper: return "keeper";
        case wire::Role::Watch: return "watch";
        case wire::Role::Control: return "control";
        case wire::Role::Edge: return "edge";
        case wire::Role::Telemetry: return "telemetry";
        case wire::Role::NextEdge: return "next edge";
    }
    return "role";
}

}  // namespace

Result<std::unique_ptr<Control>> Control::start(env::Env& env, Options options) {
    TRY(env.files.make_folder(options.data, 0711));
    std::unique_ptr<Store> store = TRY(Store::open(env, options.data + "/state.db"));
    std::unique_ptr<Control> control(new Control(env, std::move(options), std::move(store)));
    Stored stored = control->store_->take_stored();
    control->sequence_ = stored.timeline_last;
    for (const model::NumberRow& row : stored.numbers) {
        if (row.name == "snapshot") control->snapshot_ = static_cast<std::uint64_t>(row.value);
        if (row.name == "broken_lost") control->broken_lost_ = row.value;
        const auto id = static_cast<std::uint32_t>(row.value);
        if (row.name == "fault_last") control->fault_last_ = id;
        if (row.name == "fault_begun") control->fault_begun_ = id;
        if (row.name == "faults_ended") control->faults_ended_ = row.value;
    }
    const std::vector<std::string> troubles = TRY(fill(control->world_, std::move(stored)));
    control->recall_notes();
    control->snapshot_written_ = control->snapshot_;
    // Those before have been removed by whoever was control then.
    control->snapshots_from_ = control->snapshot_ - std::min<std::uint64_t>(control->snapshot_, 8);
    control->connect();
    for (const std::string& text : troubles) control->say({.kind = "trouble", .text = text});
    return control;
}

Control::Control(env::Env& env, Options options, std::unique_ptr<Store> store)
    : env_(env), options_(std::move(options)), store_(std::move(store)) {
    // Two systems on one machine begin at different places.
    next_port_ = static_cast<std::uint16_t>(20000 + crc32c(options_.id) % 10000);
}

Control::~Control() { *alive_ = false; }

void Control::connect() {
    keeper_ = std::make_unique<KeeperClient>(
        env_, options_.run + "/keeper.sock",
        KeeperEvents{
            .synced = [this](const auto& event, const auto& slots) { on_synced(event, slots); },
            .slot = [this](const wire::SlotState& state) { on_slot(state); },
            .listener = [this](const wire::ListenerState& state) { on_listener(state); },
            .role = [this](const wire::RoleState& state) { on_role(state); },
            .refused = [this](const wire::RefusedEvent& event) { on_refused(event); },
            .lost = [this] { say({.kind = "keeper lost", .text = "keeper is being replaced"}); },
        });
    edge_ = std::make_unique<EdgeClient>(
        env_, options_.run + "/edge.sock",
        EdgeEvents{
            .connected = [this](const wire::Welcome& welcome) { on_edge(welcome); },
            .lost = [this] { say({.kind = "edge lost", .text = "the edge is being replaced"}); },
            .snapshot_applied = [this](const auto& applied) { on_snapshot(applied); },
            .applied = [this](std::uint64_t sequence,
                              const auto& in_flight) { on_applied(sequence, in_flight); },
            .cut_done =
                [this](const wire::CutDone& done) {
                    Instance* const instance = instance_at(done.at);
                    if (instance == nullptr) return;
                    instance->is_cut = true;
                    const Service& service = world_.services[instance->service];
                    if (done.cut > 0)
                        say({.kind = "requests cut",
                             .service = service.row.name,
                             .instance = model::name_of(service.row.name, instance->id),
                             .text = fmt::format("{} still open at the drain deadline", done.cut)});
                    mark(instance->service);
                },
            .hold_applied = [this](std::uint32_t service) { on_hold_applied(service); },
            .shares_applied = [this] { on_shares_applied(); },
            .stats = [this](const auto& header, const auto& rows) { on_stats(header, rows); },
            .broken = [this](const auto& header,
                             const auto& rows) { on_broken(header.lost, rows); },
            .routes =
                [this](const auto& header, const auto& rows) {
                    world_.edge_totals.hear(header, rows);
                    if (header.more == 0) watch_budgets();
                },
            .durations = [this](const auto& rows) { world_.edge_totals.hear(rows); },
            .refusals = [this](
                            const auto& header,
                            const auto& rows) { world_.edge_totals.hear_refusals(header, rows); },
            .faults = [this](const auto& faults) { on_faults(faults); },
            .queued = [this](const auto& count) { world_.queued = count.queued; },
            .upgraded = [this](const wire::Upgraded& done) { on_upgraded(done); },
        });
    api_ = std::make_unique<Api>(*this);
    say({.kind = "control started",
         .text = fmt::format("control began; it remembers {} services", world_.services.size())});
    turned_ = env_.clock.now();
    resync_ = env_.timers.after(kResync, [this] { mark_all(); });
    recall_broken();
    recall_pauses();
    edge_->share(all_shares());
}

void Control::mark(std::uint32_t service) {
    dirty_.insert(service);
    turn_soon_ = env_.timers.after(Duration::zero(), [this] { turn(); });
}

void Control::mark_all() {
    for (const auto& [id, service] : world_.services) dirty_.insert(id);
    turn_soon_ = env_.timers.after(Duration::zero(), [this] { turn(); });
    resync_ = env_.timers.after(kResync, [this] { mark_all(); });
}

// For what fails because of the machine: a full tmpfs, say.
void Control::mark_later(Service& service) {
    service.again = env_.timers.after(kResync, [this, id = service.row.id] { mark(id); });
}

// The machine slept, or we were stopped or starved, and with us most likely whoever was to become
// ready, to end or to build meanwhile: that time is not theirs.
void Control::excuse_gap() {
    const Time now = env_.clock.now();
    const Duration gap = now - std::exchange(turned_, now);
    turn_late_max_ = std::max(turn_late_max_, gap - kResync);
    if (gap <= kResync + kLateMax) return;
    for (auto& [slot, instance] : world_.instances) {
        if (instance.stage != model::Stage::Ready)
            instance.spawned = std::min(now, instance.spawned + gap);
        instance.leaving = recovery::put_off(instance.leaving, gap);
        if (instance.end) instance.ended = std::min(now, instance.ended + gap);
    }
    for (auto& [id, service] : world_.services) service.staging.until += gap;
}

void Control::turn() {
    ++turns_;
    excuse_gap();
    if (was_adopted_) {
        const std::set<std::uint32_t> dirty = std::move(dirty_);
        dirty_.clear();
        for (const std::uint32_t id : dirty) {
            const auto service = world_.services.find(id);
            if (service != world_.services.end()) run_service(service->second);
        }
        if (snapshot_is_stale_) publish_snapshot();
        look_for_the_end();
    }
    edge_->flush();
    commit();
}

void Control::commit() {
    if (batch_.empty() && after_commit_.empty()) return;
    Batch batch = std::move(batch_);
    batch_.clear();
    std::vector<std::function<void()>> acts = std::move(after_commit_);
    after_commit_.clear();
    store_->commit(std::move(batch), [this, acts = std::move(acts)] {
        for (const std::function<void()>& act : acts) act();
        if (!acts.empty()) mark_all();
    });
}

void Control::say(Said said) {
    model::TimelineRow row{.sequence = ++sequence_,
                           .time = env_.clock.wall(),
                           .kind = std::move(said.kind),
                           .service = std::move(said.service),
                           .instance = std::move(said.instance),
                           .text = std::move(said.text)};
    if (api_) api_->said(row);
    put(std::move(row));
    turn_soon_ = env_.timers.after(Duration::zero(), [this] { turn(); });
}

void Control::on_synced(const wire::SyncedEvent& event, const std::vector<wire::SlotState>& slots) {
    world_.keeper = event;
    synced_ = env_.clock.now();
    std::map<std::uint32_t, std::uint32_t> told;  // Generations.
    for (const wire::SlotState& state : slots) {
        told[state.at.slot] = state.at.generation;
        const auto known = world_.instances.find(state.at.slot);
        const bool is_known =
            known != world_.instances.end() && known->second.id.generation == state.at.generation;
        const bool is_ours = is_known || builder_at(state.at) != nullptr;
        if (!is_ours && state.at.slot >= wire::kRoleSlots) adopt(state);
        on_slot(state);
    }
    // What keeper does not name: it never heard of it, or it ended and was forgotten.
    for (auto& [number, slot] : world_.slots) {
        const auto has = told.find(number);
        const bool is_told = has != told.end();
        const auto instance = world_.instances.find(number);
        if (builder_at({number, slot.row.generation}) != nullptr) {
            // Where the build before it is still there we are refused, and ask again.
            if (!is_told || has->second != slot.row.generation)
                keeper_->spawn({number, slot.row.generation});
        } else if (is_told) {
            continue;
        } else if (instance == world_.instances.end()) {
            slot.use = SlotUse::Free;
        } else if (instance->second.pid == 0) {
            keeper_->spawn({number, instance->second.id.generation});
        } else {
            on_nothing(instance->second, {.is_known = false});
        }
    }
    drop_left_open();
    ensure_listeners();
    if (!was_adopted_) {
        for (const auto& [slot, intent] : world_.intents) {
            if (instance_at({slot, intent.generation}) == nullptr)
                put(RemoveIntent{slot, intent.generation});
        }
        world_.intents.clear();
        was_adopted_ = true;
        had_instances_ = !world_.instances.empty();
        for (auto& [id, service] : world_.services) {
            const std::vector<Instance*> all = instances_of(world_, id);
            service.was_serving = std::any_of(all.begin(), all.end(), [](const Instance* each) {
                return each->stage == model::Stage::Ready;
            });
        }
        edge_->begin();
        stage_all();
        // Where a control before us had no time for it.
        for (auto& [id, service] : world_.services) remove_old_releases(service);
    }
    mark_all();
}

void Control::on_role(const wire::RoleState& state) {
    const wire::RoleState before = world_.roles[state.role];
    world_.roles[state.role] = state;
    const std::string role(role_name(state.role));
    // Control hears of its own death from keeper, as the next one.
    const bool is_us = state.role == static_cast<std::uint32_t>(wire::Role::Control);
    const bool is_another = before.pid != 0 ? before.pid != state.pid : is_us && state.starts > 1;
    if (state.event == wire::RoleEvent::Running && is_another) {
        // keeper tells the newest state only: how it ended is there, that it had ended often not.
        std::string text = role + " runs again";
        if (state.starts > before.starts)
            text += "; the one before: " + model::describe({.wait_status = state.wait_status});
        say({.kind = "role started", .text = std::move(text)});
    }
    if (state.event == wire::RoleEvent::Ended && before.event != state.event) {
        const model::End end{.wait_status = state.wait_status};
        say({.kind = "role ended", .text = fmt::format("{}: {}", role, model::describe(end))});
    }
    if (state.event == wire::RoleEvent::KilledForSilence && before.event != state.event)
        say({.kind = "role killed", .text = fmt::format("{} did not turn for 5 s", role)});
}

void Control::on_refused(const wire::RefusedEvent& event) {
    Instance* const instance = instance_at(event.at);
    if (event.request == static_cast<std::uint16_t>(wire::KeeperMessage::UpgradeEdge))
        return upgrade_failed({event.reason, ::strnlen(event.reason, sizeof(event.reason))});
    const bool is_spawn = event.request == static_cast<std::uint16_t>(wire::KeeperMessage::Spawn);
    if (is_spawn && instance == nullptr) return on_build_refused(event.at);
    if (!is_spawn || instance == nullptr || instance->pid != 0) return;
    on_nothing(*instance, {.never_ran = true, .wait_status = 1 << 16});
}

// `down`: when nothing runs any more keeper ends all the rest, and us.
void Control::look_for_the_end() {
    if (!world_.is_down || !world_.instances.empty()) return;
    for (const auto& [number, slot] : world_.slots) {
        if (slot.use != SlotUse::Free) return;
    }
    if (is_ending_) return;
    is_ending_ = true;
    const Duration wait = had_instances_ ? Duration::zero() : kDownLinger;
    end_ = env_.timers.after(wait, [this] {
        is_ending_ = false;
        if (!world_.is_down || !world_.instances.empty()) return;
        // The last words first.
        after_commit([this] {
            if (world_.is_down && world_.instances.empty()) keeper_->shut_down();
        });
        mark_all();
    });
}

}  // namespace thole::control
