// Who is connected to keeper.sock and what each is still to be told. A client has no queue: it has
// bits of what changed, and gets the newest state of each when its socket has room. Allocates
// nothing.
#pragma once

#include <cstdint>
#include <string_view>

#include "keeper/slots.h"
#include "wire/frame.h"
#include "wire/keeper.h"

namespace thole::keeper {

constexpr std::uint32_t kClientsMax = 32;
constexpr std::uint32_t kAnswerBytesMax = 256;

struct Client {
    int fd = -1;
    bool greeted = false;
    bool is_edge = false;     // It has said that it serves.
    bool wants_room = false;  // Its socket is full.
    bool is_synced = false;
    std::uint32_t answer_bytes = 0;  // Of an answer that waits for room.
    int answer_fd = -1;              // What goes with it; our own copy.
    char answer[kAnswerBytesMax];
    SlotBits slots{};
    std::uint64_t listeners[16]{};  // By place in the parked table.
    std::uint32_t roles = 0;
};

// Where a client's news come from.
class News {
public:
    virtual ~News() = default;
    virtual wire::SlotState slot_news(std::uint32_t slot) = 0;
    virtual bool listener_news(std::uint32_t place, wire::ListenerState& state) = 0;
    virtual bool role_news(std::uint32_t role, wire::RoleState& state) = 0;
    virtual wire::SyncedEvent synced_news() = 0;
};

class Clients {
public:
    Clients(News& news, int epoll, std::uint64_t tag) : news_(news), epoll_(epoll), tag_(tag) {}

    // Takes a new connection; false where the peer is not us or root, or the table is full.
    bool accept(int listener);
    Client& at(std::uint32_t index) { return clients_[index]; }
    void close(std::uint32_t index);
    // Hello: everything that is, then Synced.
    void greet(std::uint32_t index);

    void slots_changed(const SlotBits& changed);
    void listener_changed(std::uint32_t place);
    void role_changed(std::uint32_t role);
    // Tells what is to be told, as far as there is room.
    void flush(std::uint32_t index);
    void flush_all();
    // Answers a request. What finds no room waits for it, and until then no more is read.
    bool is_answered(std::uint32_t index) const { return clients_[index].answer_bytes == 0; }
    void answer(std::uint32_t index, wire::KeeperMessage type, std::string_view body,
                int descriptor);

private:
    void send_answer(std::uint32_t index);
    bool send(Client& client, wire::KeeperMessage type, std::string_view body);
    bool flush_slots(Client& client);
    bool flush_rest(Client& client);
    void watch(std::uint32_t index);

    News& news_;
    int epoll_;
    std::uint64_t tag_;
    Client clients_[kClientsMax];
};

template <typename Message>
std::string_view body_of(const Message& message) {
    return {reinterpret_cast<const char*>(&message), sizeof(message)};
}

}  // namespace thole::keeper
