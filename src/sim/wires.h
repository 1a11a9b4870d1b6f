// What lies between simulated processes: listening sockets by their place, connections, delays and
// faults. A place is the path of a unix socket, or "127.0.0.1:8080".
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "env/network.h"
#include "sim/endpoint.h"

namespace thole::sim {

enum class Answering {
    Yes,
    Refuses,
    Silent  // Connecting over TCP hangs; a unix socket connects and nobody takes it.
};

// A listening socket, as the kernel keeps it.
struct Port {
    std::string place;
    Shape shape = Shape::Tcp;
    env::Address address = {0, 0};
    env::Peer creator;
    bool is_parked = false;      // Outlives whoever listens: the backlog waits for the next.
    LifePointer life = nullptr;  // Who takes connections; null: nobody now.
    std::function<void(std::shared_ptr<Endpoint>)> accept = nullptr;
    std::uint64_t listening_id = 0;
    std::deque<std::shared_ptr<Endpoint>> backlog = {};
};
using PortPointer = std::shared_ptr<Port>;

std::string place_of(env::Address address);

class Wires {
public:
    explicit Wires(SimLoop& loop) : loop_(loop) {}

    // How long each message takes.
    void set_delay(Range delay) { delay_ = delay; }
    void set_answering(const std::string& place, Answering answering);
    // Nothing passes between processes of these names until heal(): nothing is lost, all is late.
    void part(const std::string& one, const std::string& other);
    void heal();
    // Resets every connection between processes of these names.
    void cut(const std::string& one, const std::string& other);
    // Somebody holds a listening socket there from now on, whoever takes from it.
    void park(const std::string& place);
    void park(env::Address address);
    // Where processes of this pid listen for TCP.
    std::vector<env::Address> listening(std::uint32_t pid) const;
    std::size_t connections() const { return ends_.size() / 2; }

    // For SimNetwork and the ends.
    struct Listener {
        Shape shape = Shape::Tcp;
        LifePointer life;
        std::function<void(std::shared_ptr<Endpoint>)> accept;
    };
    Result<PortPointer> listen(env::Address address, Listener listener);
    PortPointer listen(const std::string& path, Listener listener);
    // On what was parked there.
    Result<PortPointer> take_over(const std::string& place, Listener listener);
    void stop(const PortPointer& port, std::uint64_t listening_id);
    std::shared_ptr<Endpoint> connect(env::Address address, LifePointer life);
    std::shared_ptr<Endpoint> connect(const std::string& path, Shape shape, LifePointer life);
    void kill(const Life& life);
    // Its process goes on.
    void release(const Life& life);
    // The machine went down: nothing is left.
    void clear();

    SimLoop& loop() const { return loop_; }
    Range delay() const { return delay_; }
    bool are_parted(const std::string& one, const std::string& other) const;
    // Both ends are closed: nothing can come of them.
    void forget(const Endpoint& end);

private:
    std::shared_ptr<Endpoint> make_end(Shape shape);
    void attach(const PortPointer& port, Listener listener);
    void close(const PortPointer& port);
    void offer(const PortPointer& port);
    void take(const PortPointer& port);
    void knock(const std::shared_ptr<Endpoint>& client, env::Address to, int tries);
    void enter(const std::shared_ptr<Endpoint>& client, const PortPointer& port);
    PortPointer find(env::Address address) const;
    Answering answering(const std::string& place) const;

    SimLoop& loop_;
    Range delay_ = {std::chrono::microseconds(20), std::chrono::milliseconds(1)};
    std::map<std::string, PortPointer> ports_;
    std::set<std::string> left_paths_;  // Socket files that nobody listens behind.
    std::map<std::uint64_t, std::shared_ptr<Endpoint>> ends_;
    std::map<std::string, Answering> answering_;
    std::set<std::pair<std::string, std::string>> parted_;
    std::uint64_t next_id_ = 1;
    std::uint16_t next_port_ = 40000;
};

}  // namespace thole::sim
