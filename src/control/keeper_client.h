// Control's link to keeper: connects again whenever it is lost, and after each connection first
// gives the whole picture (all slots, listeners, roles), then changes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "env/env.h"
#include "wire/keeper.h"

namespace thole::control {

struct KeeperEvents {
    // After Synced: slots are those that are not free.
    std::function<void(const wire::SyncedEvent&, const std::vector<wire::SlotState>&)> synced;
    std::function<void(const wire::SlotState&)> slot;
    std::function<void(const wire::ListenerState&)> listener;  // error 0: it is parked.
    std::function<void(const wire::RoleState&)> role;
    std::function<void(const wire::RefusedEvent&)> refused;
    std::function<void()> lost;
};

class KeeperClient {
public:
    KeeperClient(env::Env& env, std::string path, KeeperEvents events);
    KeeperClient(const KeeperClient&) = delete;

    bool is_synced() const { return is_synced_; }
    // Requests before Synced go nowhere: whoever sends again after it loses nothing.
    void spawn(wire::SlotRef at);
    void signal(const wire::SignalRequest& request);
    void forget(wire::SlotRef at);
    void ensure_listener(const wire::EnsureListenerRequest& request);
    void drop_listener(std::uint32_t id);
    // Refused with a reason, or the edges say what became of it. Empty: the installed program.
    void upgrade_edge(std::string_view program);
    void shut_down();

private:
    void connect();
    void received(std::string_view datagram);
    void obey(std::uint16_t type, std::string_view body);
    void lost();
    template <typename Message>
    void send(wire::KeeperMessage type, const Message& message);

    env::Env& env_;
    std::string path_;
    KeeperEvents events_;
    std::unique_ptr<env::Link> link_;
    env::Timer again_;
    bool is_synced_ = false;
    std::vector<wire::SlotState> before_synced_;
};

}  // namespace thole::control
