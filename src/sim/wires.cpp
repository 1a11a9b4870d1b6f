#include "sim/wires.h"

#include <cerrno>

#include "base/check.h"
#include "sim/link.h"
#include "sim/stream.h"

namespace thole::sim {
namespace {

// As Linux repeats what is not answered, only evenly: it gives up after two minutes.
constexpr Duration kKnockAgain = std::chrono::seconds(1);
constexpr int kKnocksMax = 127;
constexpr std::uint32_t kAnyIp = 0;
// Who is told to have made a socket that was parked.
constexpr env::Peer kParkedBy = {1, 0};

}  // namespace

std::string place_of(env::Address address) {
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8)
        text += std::to_string((address.ip >> shift) & 0xff) + (shift > 0 ? "." : ":");
    return text + std::to_string(address.port);
}

void Wires::set_answering(const std::string& place, Answering answering) {
    answering_[place] = answering;
}

Answering Wires::answering(const std::string& place) const {
    const auto found = answering_.find(place);
    return found == answering_.end() ? Answering::Yes : found->second;
}

void Wires::part(const std::string& one, const std::string& other) {
    parted_.insert({one, other});
    parted_.insert({other, one});
}

bool Wires::are_parted(const std::string& one, const std::string& other) const {
    return parted_.contains({one, other});
}

void Wires::heal() {
    parted_.clear();
    for (const auto& [id, end] : ends_) end->retry();
}

void Wires::cut(const std::string& one, const std::string& other) {
    for (const auto& [id, end] : ends_) {
        const std::shared_ptr<Endpoint> far = end->other();
        if (far == nullptr || end->life() == nullptr || far->life() == nullptr) continue;
        if (end->life()->name == one && far->life()->name == other) end->break_off();
    }
}

void Wires::park(const std::string& place) {
    if (ports_.contains(place)) return;
    ports_[place] = std::make_shared<Port>(
        Port{.place = place, .shape = Shape::Unix, .creator = kParkedBy, .is_parked = true});
}

void Wires::park(env::Address address) {
    park(place_of(address));
    Port& port = *ports_[place_of(address)];
    port.shape = Shape::Tcp;
    port.address = address;
}

std::vector<env::Address> Wires::listening(std::uint32_t pid) const {
    std::vector<env::Address> found;
    for (const auto& [place, port] : ports_) {
        if (port->shape == Shape::Tcp && port->life != nullptr && port->life->who.pid == pid)
            found.push_back(port->address);
    }
    return found;
}

PortPointer Wires::find(env::Address address) const {
    const auto found = ports_.find(place_of(address));
    if (found != ports_.end()) return found->second;
    const auto any = ports_.find(place_of({kAnyIp, address.port}));
    return any == ports_.end() ? nullptr : any->second;
}

void Wires::attach(const PortPointer& port, Listener listener) {
    port->life = std::move(listener.life);
    port->accept = std::move(listener.accept);
    port->listening_id = next_id_++;
    for (std::size_t i = 0; i < port->backlog.size(); ++i) offer(port);
}

Result<PortPointer> Wires::listen(env::Address address, Listener listener) {
    while (address.port == 0) {
        const env::Address drawn{address.ip, next_port_++};
        if (next_port_ < 40000) next_port_ = 40000;
        if (find(drawn) == nullptr) address = drawn;
    }
    for (const auto& [place, port] : ports_) {
        if (port->shape != Shape::Tcp || port->address.port != address.port) continue;
        if (port->address.ip == address.ip || port->address.ip == kAnyIp || address.ip == kAnyIp)
            return from_errno(EADDRINUSE, "listen on port " + std::to_string(address.port));
    }
    const PortPointer port = std::make_shared<Port>(Port{.place = place_of(address),
                                                         .shape = Shape::Tcp,
                                                         .address = address,
                                                         .creator = listener.life->who});
    ports_[port->place] = port;
    attach(port, std::move(listener));
    return port;
}

PortPointer Wires::listen(const std::string& path, Listener listener) {
    const PortPointer port = std::make_shared<Port>(
        Port{.place = path, .shape = listener.shape, .creator = listener.life->who});
    // Whoever listened there goes on and gets nobody any more: the path leads here now.
    ports_[path] = port;
    left_paths_.erase(path);
    attach(port, std::move(listener));
    return port;
}

Result<PortPointer> Wires::take_over(const std::string& place, Listener listener) {
    const auto found = ports_.find(place);
    if (found == ports_.end() || !found->second->is_parked)
        return invalid(place + " is no listening socket");
    PortPointer port = found->second;
    attach(port, std::move(listener));
    return port;
}

void Wires::stop(const PortPointer& port, std::uint64_t listening_id) {
    if (port->listening_id != listening_id || port->life == nullptr) return;
    close(port);
}

void Wires::close(const PortPointer& port) {
    port->life = nullptr;
    port->accept = nullptr;
    if (port->is_parked) return;
    const auto found = ports_.find(port->place);
    if (found != ports_.end() && found->second == port) {
        ports_.erase(found);
        if (port->shape != Shape::Tcp) left_paths_.insert(port->place);
    }
    std::deque<std::shared_ptr<Endpoint>> backlog;
    backlog.swap(port->backlog);
    for (const std::shared_ptr<Endpoint>& end : backlog) {
        if (const std::shared_ptr<Endpoint> client = end->other())
            client->expect({.kind = Message::Kind::Reset, .error = ECONNRESET});
        end->vanish();
    }
}

void Wires::offer(const PortPointer& port) {
    if (port->life == nullptr) return;
    loop_.schedule(loop_.draw(delay_), Event{"accept", port->life, [this, port] { take(port); }});
}

void Wires::take(const PortPointer& port) {
    if (port->life == nullptr || port->backlog.empty()) return;
    const std::shared_ptr<Endpoint> end = port->backlog.front();
    port->backlog.pop_front();
    end->own(port->life);
    // The listening may be destroyed by what it calls.
    const std::function<void(std::shared_ptr<Endpoint>)> accept = port->accept;
    accept(end);
}

std::shared_ptr<Endpoint> Wires::make_end(Shape shape) {
    const std::uint64_t id = next_id_++;
    std::shared_ptr<Endpoint> end;
    if (shape == Shape::Link) {
        end = std::make_shared<LinkEnd>(*this, shape, id);
    } else {
        end = std::make_shared<StreamEnd>(*this, shape, id);
    }
    ends_[id] = end;
    return end;
}

void Wires::enter(const std::shared_ptr<Endpoint>& client, const PortPointer& port) {
    const std::shared_ptr<Endpoint> server = make_end(client->shape());
    server->join(client);
    client->join(server);
    if (client->shape() != Shape::Tcp) {
        server->set_peer(client->life()->who);
        client->set_peer(port->creator);
    }
    client->expect({.kind = Message::Kind::Connected});
    if (answering(port->place) == Answering::Silent) return;
    port->backlog.push_back(server);
    offer(port);
}

std::shared_ptr<Endpoint> Wires::connect(env::Address address, LifePointer life) {
    const std::shared_ptr<Endpoint> client = make_end(Shape::Tcp);
    static_cast<StreamEnd&>(*client).connect();
    client->own(std::move(life));
    if (!client->life()->is_alive) {
        client->vanish();
        return client;
    }
    knock(client, address, 0);
    return client;
}

void Wires::knock(const std::shared_ptr<Endpoint>& client, env::Address to, int tries) {
    const Duration wait = tries == 0 ? loop_.draw(delay_) : kKnockAgain;
    loop_.schedule(
        wait,
        Event{"knock", nullptr, [this, client, to, tries] {
                  if (client->has_left()) return;
                  const PortPointer port = find(to);
                  const Answering how = answering(port == nullptr ? place_of(to) : port->place);
                  const bool is_parted = port != nullptr && port->life != nullptr &&
                                         are_parted(client->life()->name, port->life->name);
                  if (how == Answering::Silent || is_parted) {
                      if (tries == kKnocksMax) {
                          client->expect({.kind = Message::Kind::Refused, .error = ETIMEDOUT});
                      } else {
                          knock(client, to, tries + 1);
                      }
                  } else if (port == nullptr || how == Answering::Refuses) {
                      client->expect({.kind = Message::Kind::Refused, .error = ECONNREFUSED});
                  } else {
                      enter(client, port);
                  }
              }});
}

std::shared_ptr<Endpoint> Wires::connect(const std::string& path, Shape shape, LifePointer life) {
    const std::shared_ptr<Endpoint> client = make_end(shape);
    if (shape == Shape::Unix) static_cast<StreamEnd&>(*client).connect();
    client->own(std::move(life));
    if (!client->life()->is_alive) {
        client->vanish();
        return client;
    }
    const auto found = ports_.find(path);
    int error = 0;
    if (found == ports_.end()) {
        error = left_paths_.contains(path) ? ECONNREFUSED : ENOENT;
    } else if (found->second->shape != shape) {
        error = EPROTOTYPE;
    } else if (answering(path) == Answering::Refuses) {
        error = ECONNREFUSED;
    }
    if (error != 0) {
        client->expect({.kind = Message::Kind::Refused, .bytes = path, .error = error});
    } else {
        enter(client, found->second);
    }
    return client;
}

void Wires::kill(const Life& life) {
    std::vector<PortPointer> ports;
    for (const auto& [place, port] : ports_)
        if (port->life.get() == &life) ports.push_back(port);
    for (const PortPointer& port : ports) close(port);
    std::vector<std::shared_ptr<Endpoint>> ends;
    for (const auto& [id, end] : ends_)
        if (end->life().get() == &life) ends.push_back(end);
    for (const std::shared_ptr<Endpoint>& end : ends) end->kill();
}

void Wires::release(const Life& life) {
    for (const auto& [id, end] : ends_)
        if (end->life().get() == &life) end->retry();
}

void Wires::clear() {
    ports_.clear();
    left_paths_.clear();
    ends_.clear();
}

void Wires::forget(const Endpoint& end) {
    const std::shared_ptr<Endpoint> other = end.other();
    if (other != nullptr && !other->has_left()) return;
    if (other != nullptr) ends_.erase(other->id());
    ends_.erase(end.id());
}

}  // namespace thole::sim
