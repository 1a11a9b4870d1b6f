// A whole system from a seed: the real control with its real store on a simulated disk; keeper, the
// edge, instances and a user are written here. Faults and deploys come while it runs; after each
// step the promises are checked (checks.cpp). The first that is broken ends the run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "control/control.h"
#include "edge.h"
#include "follower.h"
#include "keeper.h"
#include "sim/host.h"
#include "story.h"
#include "wanted.h"
#include "web/client.h"

namespace thole::simulation {

enum class Phase : std::uint8_t { Starting, Noise, Quiet, Calm, Stopping, Over };

class World {
public:
    World(std::uint64_t seed, bool is_loud);
    ~World();
    World(const World&) = delete;

    // Empty, or which promise was broken.
    std::string run();
    std::uint64_t trace() const { return host_.trace(); }
    // What a person needs who looks for the cause.
    std::string last_lines();

private:
    // world.cpp: processes.
    void after_step();
    void boot();
    void begin_control();
    void kill_control();
    void tell_role(wire::Role role, std::uint32_t pid);
    void begin_again(wire::Role role, sim::Range after);
    void load();
    void on_death(std::uint32_t slot);
    Wanted* find(std::string_view name);
    Wanted* service_of(std::uint32_t slot);
    std::size_t pick(std::size_t count) { return host_.loop().random().below(count); }
    bool chance(double probability) { return host_.loop().random().chance(probability); }

    // user.cpp: what the user does, phase by phase.
    void plan_services();
    std::string manifest() const;
    void advance();
    void begin_phase(Phase phase, Duration limit);
    bool edit(Wanted& service, std::string_view how);
    void make_one_bad();
    void do_something();
    void change_keys();
    void pause_or_resume(Wanted& service, bool is_wanted);
    bool ask_to_resume();
    void prune_or_bring_back(Wanted& service);
    std::vector<std::string> calls_of(const Wanted& service) const;
    void put_manifest();
    void ask_after_boot();
    void ask(const std::string& method, const std::string& path, const std::string& body);
    void heard(const Result<web::Response>& answer);
    void look_at_system(const std::string& body);
    void look_at_timeline(const std::string& body);
    void look_for_reason(const Wanted& service);
    void look_for_copies(const Wanted& service);
    bool is_as_wanted();

    // faults.cpp
    void draw_fault();
    void end_faults();
    void fault_role();
    void restart_control();
    void power_cut();
    void sync(const std::string& path);
    void draw_aims();
    void aim(std::string_view kind);
    void fault_disk();
    void fault_network();
    void kill_instance();
    void pause(sim::SimProcess& process);
    void be_quick();
    void later(Duration after, std::function<void()> act);

    // checks.cpp: after each step, and at what control asks for.
    void check_counts();
    void check_count(Wanted& service, int staying);
    void check_calls(Wanted& service);
    void check_users();
    void check_serving(Wanted& service, int serving);
    bool is_calm();
    void check_signal(std::uint32_t slot, const wire::SignalRequest& request);
    void check_rest(std::uint32_t slot);
    void check_attached(EndpointId at);
    void check_gone(EndpointId at);
    void check_shut_down();
    bool has_intent_on_disk(EndpointId at);
    std::set<std::string> callers_of(const std::string& name) const;

    sim::SimHost host_;
    Story story_;
    SimKeeper keeper_;
    std::unique_ptr<SimEdge> edge_;
    std::vector<std::unique_ptr<SimEdge>>
        edges_before_;  // A boot; their last events may still come.
    sim::SimProcess* control_process_ = nullptr;
    std::unique_ptr<control::Control> control_;
    sim::SimProcess* user_ = nullptr;
    Follower follower_;
    std::vector<Wanted> services_;

    Phase phase_ = Phase::Starting;
    Time deadline_{}, next_act_{};  // Of the phase.
    std::uint64_t steps_to_fault_ = 0;
    // Control dies soon after something of this kind is on its timeline, so many times.
    std::set<std::string, std::less<>> aims_;
    int aims_left_ = 0, power_cuts_left_ = 0;
    std::uint64_t steps_to_aimed_ = 0;  // 0: nothing was seen.
    bool has_faults_ = false, is_noisy_from_start_ = false;
    bool changes_keys_ = false, prunes_ = false, sleeps_long_ = false, pauses_ = false;
    bool ends_badly_ = false;  // The last release of some services never gets ready.
    bool was_told_ = false;    // The request of this phase was answered.
    std::uint32_t starts_[5] = {};
    Time disk_trouble_until_{}, disturbed_until_{};
    Time only_slept_until_{};  // Nothing but a sleep has disturbed it.
    bool has_users_ = false;   // thole is root, and some services have a user.
    Time control_began_{};     // Without what the machine slept.
    bool is_slow_ = false, is_edge_paused_ = false;

    std::unique_ptr<web::Exchange> exchange_;
    std::string asked_;  // Path of the request under way; empty: none.
    std::function<void()> ask_again_;
    env::Timer again_;
    int edits_ = 0;
    std::map<std::string, int> acknowledged_;  // By the kind of entry that must be there for each.
    std::string system_;                       // As it was said last.
    std::string why_not_;
    bool is_settled_ = false;
};

}  // namespace thole::simulation
