// A keeper that speaks wire/keeper.h. Slots, listeners and instances outlive it, as they do in the
// field: kill() and begin() again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "instance.h"
#include "sim/host.h"
#include "story.h"
#include "wire/keeper.h"
#include "wire/slots.h"

namespace thole::simulation {

struct Slot {
    std::uint32_t generation = 0;
    wire::SlotStatus status = wire::SlotStatus::Free;
    std::int32_t wait_status = 0;
    std::uint32_t flags = 0;
    std::uint64_t start_time = 0;
    std::unique_ptr<Instance> instance;  // Running.
    bool was_asked = false;              // SIGTERM, or SIGKILL by control.
    bool was_terminated = false;         // SIGTERM.
    bool was_killed = false;             // SIGKILL, and so all of it.
    Time asked{};  // This, `ended` and `claimed` without what the machine slept.
    Time ended{};  // Its first process.
    Time claimed{};
    // Ended only. Every third leaves something behind, as a shell does; half of these ignore
    // SIGTERM.
    bool was_looked_at = false;
    bool has_rest = false;
    bool rest_was_asked = false;
};

struct KeeperSettings {
    std::string run;
    std::function<void(std::uint32_t slot, const wire::SignalRequest&)> signalled;
    std::function<void(std::uint32_t slot)> died;  // Not reaped yet.
    std::function<void(std::uint32_t slot)> rest_killed;
    std::function<void()> shut_down;
};

class SimKeeper {
public:
    SimKeeper(sim::SimHost& host, Story& story, KeeperSettings settings);

    void begin();
    void kill();
    // The machine has lost its power.
    void forget_all();
    bool is_alive() const { return process_ != nullptr && process_->is_alive(); }
    sim::SimProcess& process() { return *process_; }
    std::map<std::uint32_t, Slot>& slots() { return slots_; }
    const std::map<std::uint32_t, wire::ListenerState>& listeners() const { return listeners_; }
    void tell_role(const wire::RoleState& state);
    // Every port that is to be opened is somebody else's, or not any more.
    void set_ports_taken(bool taken) { ports_are_taken_ = taken; }
    // What ended may be destroyed now: no event runs.
    void sweep();
    std::string name_of(std::uint32_t slot) const;

private:
    struct Client {
        std::unique_ptr<env::Link> link;
        bool is_greeted = false;
        bool is_closed = false;
    };
    void accept(std::unique_ptr<env::Link> link);
    void obey(Client& client, std::string_view datagram);
    void greet(Client& client);
    const char* spawn(wire::SlotRef at);
    const char* signal(const wire::SignalRequest& request);
    const char* forget(wire::SlotRef at);
    void ensure_listener(Client& client, const wire::EnsureListenerRequest& request);
    void claim(wire::SlotRef at, const Program& program);
    void on_end(wire::SlotRef at, std::int32_t wait_status);
    void ask_rest(wire::SlotRef at);
    wire::SlotState state_of(std::uint32_t slot) const;
    void tell_slot(std::uint32_t slot);
    void broadcast(const std::string& frame);

    sim::SimHost& host_;
    Story& story_;
    KeeperSettings settings_;
    std::map<std::uint32_t, Slot> slots_;
    std::map<std::uint32_t, wire::ListenerState> listeners_;
    std::map<std::uint32_t, wire::RoleState> roles_;
    std::vector<std::unique_ptr<Instance>> ended_;
    std::vector<std::unique_ptr<Instance>> buried_;  // Of boots before.
    bool ports_are_taken_ = false;
    std::uint64_t keepers_ = 0;

    // Of one life.
    sim::SimProcess* process_ = nullptr;
    std::unique_ptr<env::Listening> listening_;
    std::vector<std::unique_ptr<Client>> clients_;
    std::set<std::uint32_t> changed_;
    env::Timer tell_soon_;
};

}  // namespace thole::simulation
