// keeper's one object and loop: internal to this folder. keeper.cpp has the loop, start and end,
// requests.cpp what clients ask for. One thread; owns every descriptor it names.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>

#include "keeper/clients.h"
#include "keeper/keeper.h"
#include "keeper/parked.h"
#include "keeper/role_table.h"
#include "keeper/slots.h"

namespace thole::keeper {

// What an epoll event is about: the upper half; the lower half is an index.
constexpr std::uint64_t kTagClient = 5ULL << 32;
constexpr std::uint64_t kTagPidfd = 6ULL << 32;
constexpr std::int64_t kStoppingNs = 10'000'000;

class Keeper final : public News {
public:
    explicit Keeper(const Options& options)
        : options_(options),
          epoll_(::epoll_create1(EPOLL_CLOEXEC)),
          roles_(options, slots_, parked_),
          clients_(*this, epoll_, kTagClient) {}
    int run();

    wire::SlotState slot_news(std::uint32_t slot) override { return slots_.state(slot); }
    bool listener_news(std::uint32_t place, wire::ListenerState& state) override;
    bool role_news(std::uint32_t role, wire::RoleState& state) override {
        return roles_.state(role, state);
    }
    wire::SyncedEvent synced_news() override;

private:
    bool take_lock();
    bool stands_alone();
    void take_over();
    void take(const LinkFrame& frame);
    struct RoleSocket {
        ParkedKind kind;
        const char* name;
        int type;
        wire::Role role;  // Who listens on it.
    };
    bool open_socket(const RoleSocket& wanted);
    bool open_sockets();
    const char* keep(const wire::Frame& frame, int descriptor, std::uint32_t& id);
    void add(int fd, std::uint64_t tag);
    void turn();
    std::int64_t pause_ns() const {
        return stopping_since_ns_ != 0 ? kStoppingNs : std::min(kTurnNs, slots_.next_turn_ns());
    }
    void handle(const epoll_event& event);
    void reap();
    void serve(std::uint32_t index, std::uint32_t events);
    void obey(std::uint32_t index, const wire::Frame& frame);
    void obey_slot(std::uint32_t index, const wire::Frame& frame);
    void obey_descriptor(std::uint32_t index, const wire::Frame& frame, int descriptor);
    void ensure_listener(std::uint32_t index, const wire::EnsureListenerRequest& request);
    void serve_as_edge(std::uint32_t index, const wire::Frame& frame,
                       const wire::ServeAsEdgeRequest& request);
    // upgrade.cpp
    const char* upgrade_edge(const wire::Frame& frame);
    const char* stand_by_as_edge(std::uint32_t index, const wire::Frame& frame);
    std::uint32_t edge_client();
    void refuse(std::uint32_t index, const wire::Frame& frame, wire::SlotRef at,
                const char* reason);
    bool park(const ParkedEntry& entry);
    void drop(ParkedKind kind, std::uint32_t id);
    void set_link(int link);
    void shut_down();
    void delete_run_folder();

    const Options& options_;
    int epoll_;
    int lock_ = -1;
    int link_ = -1;
    int signals_ = -1;
    Slots slots_;
    Parked parked_;
    RoleTable roles_;
    Clients clients_;
    wire::TicksPage* ticks_ = nullptr;
    std::int64_t now_ns_ = 0;
    std::int64_t last_turn_ns_ = 0;
    std::int64_t stopping_since_ns_ = 0;
    std::uint64_t allocations_at_start_ = 0;
    bool over_ = false;
};

}  // namespace thole::keeper
