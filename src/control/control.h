// Control as a whole: hears keeper, the edge, the disk and the API, lets the pure controllers
// decide, and does what they say. Everything on one loop; nothing here blocks it.
//
// Whatever happens only marks a service dirty; run_service() looks at what is, so that a lost event
// heals itself at the next look.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/burning.h"
#include "control/edge_client.h"
#include "control/keeper_client.h"
#include "control/ports.h"
#include "control/shares.h"
#include "control/store.h"
#include "control/world.h"
#include "env/env.h"
#include "model/defaults.h"
#include "web/server.h"
#include "wire/snapshot.h"

namespace thole::control {

struct Options {
    std::string run;   // The run folder, on tmpfs.
    std::string data;  // The data folder.
    std::string id;    // Of the system.
    int api_descriptor = 3;
    // So long what leaves may wait for the disk before a slot is forgotten all the same.
    Duration forget_limit = std::chrono::milliseconds(30);
    // For what is under way when an instance is to go; where its successor waits for it, at most
    // kSingleDrainLimit.
    Duration drain_limit = model::kDrainLimit;
};

class Control {
public:
    // Reads the state; an error where that is not possible.
    static Result<std::unique_ptr<Control>> start(env::Env& env, Options options);
    ~Control();
    Control(const Control&) = delete;

    // For what is seen outside of us: an entry of the timeline.
    void tell(std::string kind, std::string text) {
        say({.kind = std::move(kind), .text = std::move(text)});
    }

private:
    friend class Api;
    // A manifest to be applied.
    struct Wanted {
        std::string folder;
        std::string text;
        Prune prune = Prune::No;
    };
    Control(env::Env& env, Options options, std::unique_ptr<Store> store);

    // control.cpp: turns, commits, what is said.
    void mark(std::uint32_t service);
    void mark_all();
    void mark_later(Service& service);
    void turn();
    void excuse_gap();
    // Hands the store what was put until now; at the latest at the end of the turn.
    void commit();
    void put(Change change) { batch_.push_back(std::move(change)); }
    // Once everything that was put until now is on the disk.
    void after_commit(std::function<void()> act) { after_commit_.push_back(std::move(act)); }
    struct Said {
        std::string kind;
        std::string service = {};
        std::string instance = {};
        std::string text = {};
    };
    void say(Said said);
    void connect();
    void on_synced(const wire::SyncedEvent& event, const std::vector<wire::SlotState>& slots);
    void on_role(const wire::RoleState& state);
    void on_refused(const wire::RefusedEvent& event);
    void look_for_the_end();

    // services.cpp: one service's turn.
    void run_service(Service& service);
    void has_left(Service& service);
    void judge(Service& service);
    void deploy_is_done(Service& service);
    void say_state(Service& service);

    // instances.cpp: one instance's life.
    bool start_instance(Service& service, model::Version version);
    Slot* slot_for(Service& service);
    bool knows_command(Service& service, std::uint32_t release);
    Status write_image(const Service& service, const Instance& instance);
    void adopt(const wire::SlotState& state);
    void on_slot(const wire::SlotState& state);
    void on_running(Instance& instance, std::uint32_t pid);
    void on_probe(std::uint32_t slot, const Status& status);
    void end_stuck(Instance& instance);
    void explain_silence(std::uint32_t slot, std::string heard);
    void became_ready(Instance& instance);
    void kill_all(model::InstanceId id);
    void on_end(Instance& instance, const model::End& end);
    void on_nothing(Instance& instance, const model::End& end);
    void forget(model::InstanceId id);
    void note_slot(model::InstanceId id, std::string_view stage);
    void recall_notes();
    bool has_strangers() const;
    bool is_forgetting(const Service& service) const;
    Slot& add_slot(std::uint32_t number, std::uint32_t service);
    Status choose_port(Instance& made);

    // leaving.cpp: its way out; what the edge says of endpoints.
    void leave(Instance& instance, std::string reason);
    void remember_leaving(const Instance& instance);
    // The instance may be no more afterwards.
    void step_leaving(Instance& instance);
    void act_leaving(const Instance& instance, recovery::LeavingAction action);
    void end_lasting(const Instance& instance);
    void say_leaving(const Instance& instance);
    void on_first_end(Instance& instance, const model::End& end, wire::Remains remains);
    void route(Instance& instance, std::uint32_t bits);
    void on_applied(std::uint64_t sequence, const std::vector<wire::InFlight>& in_flight);
    void on_stats(const wire::StatsHeader& header, const std::vector<wire::EndpointStats>& rows);
    void say_judged(Instance& instance);
    void on_broken(std::uint32_t lost, const std::vector<wire::BrokenRequest>& rows);
    void say_broken(const wire::BrokenRequest& row);
    void recall_broken();

    // faults.cpp
    std::uint32_t next_fault();
    void inject(wire::FaultTerms terms, std::function<void(const Status&)> answered);
    void on_faults(const std::vector<wire::FaultState>& faults);
    void say_faults();
    // budgets.cpp: faults end where a service that they hurt burns its budget.
    void watch_budgets();
    std::map<std::uint32_t, Served> served();

    // upgrades.cpp: another binary of the edge. One at a time; answered once it serves, or why not.
    using UpgradeAnswered = std::function<void(const Result<wire::Upgraded>&)>;
    void upgrade_edge(std::string_view program, UpgradeAnswered answered);
    void on_upgraded(const wire::Upgraded& done);
    void upgrade_meets(const wire::Welcome& welcome);
    void upgrade_failed(std::string_view why);

    // routes.cpp: listeners, the snapshot.
    void ensure_listeners();
    void pass_ports_on(const std::vector<model::ListenerRow>& wanted);
    void ensure_refused();
    void drop_left_open();
    void on_listener(const wire::ListenerState& state);
    bool has_listeners(const Service& service) const;
    std::vector<Service*> services_at(const PublicPorts& ports, const model::ListenerRow& row);
    void forget_port_trouble();
    void name_routes(const PublicPorts& ports, const model::ListenerRow& row,
                     wire::SnapshotListener& listener);
    void name_callers(wire::SnapshotListener& listener);
    void look_up_again();
    void publish_snapshot();
    void on_snapshot(const wire::SnapshotApplied& applied);
    void on_edge(const wire::Welcome& welcome);
    Instance* instance_at(wire::SlotRef at);

    // pauses.cpp
    void recall_pauses();
    void pause(const Service& service, Duration limit, std::string author);  // Zero: no end.
    // Nothing where it is not paused.
    void resume(std::uint32_t service, std::string_view why);
    void resume_all(std::string_view why);
    // Once the edge goes by what was said last.
    void when_edge_knows(std::uint32_t service, std::function<void()> act);
    void tell_edge(Pause& pause);
    void end_after(Pause& pause, Duration left);
    void on_hold_applied(std::uint32_t service);

    // shares.cpp
    Parts shares_of(const Service& service) const;  // Empty: none are set.
    void share(const Service& service, const Parts& parts, std::string_view why);
    void leave_all_to_serving(const Service& service, std::string_view why);
    // Its shares are of a deploy that is given up for this release, or was taken back.
    bool are_of_another(const Service& service, std::uint32_t wanted) const;
    std::vector<wire::ServiceShares> all_shares() const;
    void when_edge_shares(std::function<void()> act);
    void on_shares_applied();

    // staging.cpp: from a manifest to releases that can run.
    // `notes`: what it leaves as it is, for people.
    Status apply(const Wanted& wanted, std::vector<std::string>& notes);
    Service& add_service(const model::ServiceSpec& spec);
    void bring_back(Service& service);
    void stage_all();
    void stage(std::uint32_t service);
    void on_digest(std::uint32_t service, std::int64_t revision, const Result<std::string>& digest);
    void begin_release(Service& service, const std::string& digest);
    void on_copied(std::uint32_t service, const Status& copied);
    void release_is_built(Service& service);
    void release_is_broken(Service& service, std::string reason);
    void want_when_kept(Service& service, std::uint32_t number);
    void want_release(Service& service, std::uint32_t number);
    void is_staged(Service& service);
    std::string release_folder(const Service& service, std::uint32_t number) const;
    std::string state_folder(const Service& service) const;
    // Without ".out" and ".err".
    std::string spool_of(const Service& service, const model::SlotRow& slot) const;
    Result<env::Owner> owner_of(const Service& service, const model::ServiceSpec& spec) const;
    bool had_another_user(const Service& service, const model::ServiceSpec& spec) const;
    bool owns_state(Service& service, const model::ServiceSpec& spec);

    // builds.cpp
    void build(Service& service);
    void build_again(Service& service);
    Slot* build_slot_of(const Service& service);
    Status write_build_image(const Service& service, const model::ServiceSpec& spec,
                             model::InstanceId id);
    Service* builder_at(wire::SlotRef at);  // nullptr: it is no build.
    void on_build_refused(wire::SlotRef at);
    void on_build_end(Service& service, const model::End& end);
    void end_late_build(model::InstanceId id);
    void give_up_staging(Service& service);
    void sync_build(Service& service);

    // room.cpp: what is not needed any more goes from the disk.
    bool has_gone(const Service& service);
    std::set<std::uint32_t> releases_needed(const Service& service);
    void remove_old_releases(Service& service);
    void remove_copies(std::uint32_t service, std::uint32_t newest,
                       const std::set<std::uint32_t>& kept);
    void remove_copy(Service& service, std::uint32_t number);
    void remove_folders(std::uint32_t service, std::vector<std::string> folders);
    void forget_manifests();

    env::Env& env_;
    Options options_;
    World world_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<KeeperClient> keeper_;
    std::unique_ptr<EdgeClient> edge_;
    std::unique_ptr<class Api> api_;
    Batch batch_;
    std::vector<std::function<void()>> after_commit_;
    std::set<std::uint32_t> dirty_;
    env::Timer turn_soon_;
    env::Timer resync_;
    env::Timer end_;
    env::Timer again_;  // The snapshot.
    env::Timer look_up_again_;
    std::set<std::string> unknown_users_;  // Of callers, as the snapshot was made.
    env::Timer listen_again_, refused_again_;
    Time turned_{};  // When the last turn began.
    std::uint64_t turns_ = 0;
    Duration turn_late_max_{};
    Time synced_{};              // When keeper told the whole picture last.
    std::int64_t sequence_ = 0;  // Of the timeline.
    std::uint16_t next_port_ = 0;
    bool was_adopted_ = false;  // keeper told what runs.
    bool had_instances_ = false;
    bool is_ending_ = false;
    bool snapshot_is_stale_ = true;
    // Ids of broken requests that are on the timeline; empty until they are read from there.
    std::optional<std::set<std::string>> broken_;
    std::deque<std::string> broken_order_;  // The same, oldest first.
    std::vector<wire::BrokenRequest> broken_waiting_;
    std::int64_t broken_lost_ = 0;        // As the edge counts them, and the timeline says.
    std::uint64_t snapshot_ = 0;          // Version that was written last.
    std::uint64_t snapshot_written_ = 0;  // On the disk.
    std::uint64_t snapshot_active_ = 0;   // At the edge, which may yet begin with it again.
    std::uint64_t snapshots_from_ = 0;    // The oldest that may still be on the disk.
    std::string snapshot_refused_;        // Why, as the timeline says.
    env::Timer activate_again_;
    std::vector<std::function<void()>> sharing_;  // To be called once the edge goes by them.
    struct Upgrade {
        std::uint32_t old_pid = 0;
        UpgradeAnswered answered;
        env::Timer limit;
    };
    std::optional<Upgrade> upgrade_;
    std::uint32_t fault_last_ = 0, fault_begun_ = 0;  // Ids: given, told on the timeline.
    std::int64_t faults_ended_ = 0;  // Those that ended until then, since boot, were told.
    env::Timer faults_end_;
    std::map<std::uint32_t, Burning> burning_;  // By service, while a fault may hurt it.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Whom it hurts and how, for people.
std::string words_of(const World& world, const wire::FaultTerms& terms);

}  // namespace thole::control
