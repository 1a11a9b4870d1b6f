#include "control/keeper_client.h"

#include "wire/frame.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kKeeperAgain = 20ms;

}  // namespace

KeeperClient::KeeperClient(env::Env& env, std::string path, KeeperEvents events)
    : env_(env), path_(std::move(path)), events_(std::move(events)) {
    connect();
}

void KeeperClient::connect() {
    before_synced_.clear();
    link_ = env_.network.connect_link(path_);
    link_->set_events({.received = [this](std::string_view datagram) { received(datagram); },
                       .closed = [this](const Error&) { lost(); }});
    const wire::HelloToKeeper hello{wire::ClientKind::Control, 0, {}};
    link_->send(wire::seal_message(wire::KeeperMessage::Hello, hello));
}

// Not from inside the link's own callback: it may not be destroyed there.
void KeeperClient::lost() {
    const bool was_synced = std::exchange(is_synced_, false);
    again_ = env_.timers.after(kKeeperAgain, [this] { connect(); });
    if (was_synced) events_.lost();
}

void KeeperClient::received(std::string_view datagram) {
    const std::optional<wire::Frame> frame = wire::open_frame(datagram);
    if (frame) obey(frame->type, frame->body);
}

void KeeperClient::obey(std::uint16_t type, std::string_view body) {
    switch (static_cast<wire::KeeperMessage>(type)) {
        case wire::KeeperMessage::State:
            if (const auto state = wire::read_message<wire::SlotState>(body)) {
                if (!is_synced_) before_synced_.push_back(*state);
                if (is_synced_) events_.slot(*state);
            }
            return;
        case wire::KeeperMessage::Synced:
            if (const auto event = wire::read_message<wire::SyncedEvent>(body)) {
                is_synced_ = true;
                const std::vector<wire::SlotState> slots = std::move(before_synced_);
                before_synced_.clear();
                events_.synced(*event, slots);
            }
            return;
        case wire::KeeperMessage::ListenerReady:
        case wire::KeeperMessage::ListenerFailed:
            if (const auto state = wire::read_message<wire::ListenerState>(body))
                events_.listener(*state);
            return;
        case wire::KeeperMessage::RoleChanged:
            if (const auto state = wire::read_message<wire::RoleState>(body)) events_.role(*state);
            return;
        case wire::KeeperMessage::Refused:
            if (const auto event = wire::read_message<wire::RefusedEvent>(body))
                events_.refused(*event);
            return;
        default: return;
    }
}

template <typename Message>
void KeeperClient::send(wire::KeeperMessage type, const Message& message) {
    if (is_synced_) link_->send(wire::seal_message(type, message));
}

void KeeperClient::spawn(wire::SlotRef at) {
    send(wire::KeeperMessage::Spawn, wire::SpawnRequest{at});
}
void KeeperClient::signal(const wire::SignalRequest& request) {
    send(wire::KeeperMessage::Signal, request);
}
void KeeperClient::forget(wire::SlotRef at) {
    send(wire::KeeperMessage::Forget, wire::ForgetRequest{at});
}
void KeeperClient::ensure_listener(const wire::EnsureListenerRequest& request) {
    send(wire::KeeperMessage::EnsureListener, request);
}
void KeeperClient::drop_listener(std::uint32_t id) {
    send(wire::KeeperMessage::DropListener, wire::DropListenerRequest{id});
}
void KeeperClient::upgrade_edge(std::string_view program) {
    wire::UpgradeEdgeRequest request{};
    program.copy(request.program, sizeof(request.program) - 1);
    send(wire::KeeperMessage::UpgradeEdge, request);
}
void KeeperClient::shut_down() {
    if (is_synced_)
        link_->send(wire::seal(static_cast<std::uint16_t>(wire::KeeperMessage::Shutdown), {}));
}

}  // namespace thole::control
