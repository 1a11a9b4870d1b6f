// One end of a simulated connection, as the kernel keeps it: it outlives the object that its user
// holds. What is sent to it arrives in order, after drawn delays; while its process is paused or
// cut off from the other, it waits.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "sim/loop.h"

namespace thole::sim {

class Wires;

enum class Shape { Tcp, Unix, Link };

struct Message {
    enum class Kind {
        Connected,
        Refused,  // `bytes`: the path, if it has one.
        Bytes,    // Of a stream; of a link: one frame.
        End,      // The other writes no more.
        Hangup,   // The other is gone (unix sockets know).
        Reset
    };
    Kind kind = Kind::Bytes;
    std::string bytes = {};
    int error = 0;  // Refused, Reset.
};

// What connecting says where it does not succeed.
inline Error refusal(const Message& message) {
    const bool has_path = !message.bytes.empty();
    return from_errno(message.error, has_path ? "connect to " + message.bytes : "connect");
}

class Endpoint : public std::enable_shared_from_this<Endpoint> {
public:
    Endpoint(Wires& wires, Shape shape, std::uint64_t id) : wires_(wires), shape_(shape), id_(id) {}
    virtual ~Endpoint() = default;

    std::uint64_t id() const { return id_; }
    Shape shape() const { return shape_; }
    const LifePointer& life() const { return life_; }
    bool has_left() const { return has_left_; }
    env::Peer peer() const { return peer_; }

    void set_peer(env::Peer peer) { peer_ = peer; }
    void join(const std::shared_ptr<Endpoint>& other) { other_ = other; }
    // Made or accepted by this process; what has come meanwhile is handed up soon.
    void own(LifePointer life);
    // To this end, after a drawn delay.
    void expect(Message message);
    // Its user let go of it: no callback any more.
    void vanish();
    // Its process died.
    void kill();
    // The network broke it: both ends learn it.
    void break_off();
    // Tries again what was held up.
    void retry();

    std::shared_ptr<Endpoint> other() const { return other_.lock(); }

protected:
    // One message is handed up. May destroy the user's object.
    virtual void take(Message message) = 0;
    virtual bool may_take(const Message& message) const = 0;
    // Ends all callbacks.
    virtual void silence() = 0;
    // What was sent has been taken by the other's user: there is room.
    virtual void on_taken(std::size_t size_bytes) = 0;

    void send(Message message);
    // The socket is closed, as close() does it: the other learns it.
    void leave();
    void hand_up_soon();
    void hand_up();
    SimLoop& loop() const;
    void later(std::string_view kind, std::function<void()> call);

    Wires& wires_;

private:
    void arrive();
    bool is_held_up() const;
    Message farewell() const;

    Shape shape_;
    std::uint64_t id_;
    LifePointer life_;
    env::Peer peer_;
    std::weak_ptr<Endpoint> other_;
    std::deque<Message> incoming_;  // On their way.
    std::deque<Message> inbox_;     // Arrived, not yet handed up.
    Time last_arrival_ = Time(Duration::zero());
    std::size_t held_up_ = 0;  // Arrivals that came while they could not.
    bool has_left_ = false;
};

}  // namespace thole::sim
