// What clients ask of keeper.
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "keeper/root.h"
#include "keeper/sockets.h"
#include "keeper/table.h"

namespace thole::keeper {

void Keeper::serve(std::uint32_t index, std::uint32_t events) {
    Client& client = clients_.at(index);
    if (client.fd < 0) return;
    if (!clients_.is_answered(index)) clients_.flush(index);
    if (client.fd < 0 || !clients_.is_answered(index)) return;
    static char bytes[wire::kFrameBytesMax];
    int descriptor = -1;
    const long got = receive_with_descriptor(client.fd, bytes, sizeof(bytes), descriptor);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        if ((events & EPOLLOUT) != 0) clients_.flush(index);
        return;
    }
    const auto frame =
        got <= 0 ? std::nullopt : wire::open_frame({bytes, static_cast<std::size_t>(got)});
    // A peer that does not speak our version, or does not greet first, is not listened to.
    if (!frame || (!client.greeted &&
                   frame->type != static_cast<std::uint16_t>(wire::KeeperMessage::Hello))) {
        if (descriptor >= 0) ::close(descriptor);
        clients_.close(index);
        return;
    }
    if (frame->type == static_cast<std::uint16_t>(wire::KeeperMessage::ParkSegment) ||
        frame->type == static_cast<std::uint16_t>(wire::KeeperMessage::ParkListener)) {
        obey_descriptor(index, *frame, descriptor);
        return;
    }
    if (descriptor >= 0) ::close(descriptor);
    obey(index, *frame);
}

void Keeper::refuse(std::uint32_t index, const wire::Frame& frame, wire::SlotRef at,
                    const char* reason) {
    wire::RefusedEvent event{};
    event.request = frame.type;
    event.at = at;
    std::strncpy(event.reason, reason, sizeof(event.reason) - 1);
    clients_.answer(index, wire::KeeperMessage::Refused, body_of(event), -1);
}

void Keeper::obey(std::uint32_t index, const wire::Frame& frame) {
    switch (static_cast<wire::KeeperMessage>(frame.type)) {
        case wire::KeeperMessage::Hello:
            // Who comes now wants a keeper that stays.
            if (stopping_since_ns_ != 0) return clients_.close(index);
            clients_.greet(index);
            return;
        case wire::KeeperMessage::Spawn:
        case wire::KeeperMessage::Signal:
        case wire::KeeperMessage::Forget: obey_slot(index, frame); return;
        case wire::KeeperMessage::EnsureListener:
            if (const auto request = wire::read_message<wire::EnsureListenerRequest>(frame.body)) {
                ensure_listener(index, *request);
                return;
            }
            break;
        case wire::KeeperMessage::DropListener:
            if (const auto request = wire::read_message<wire::DropListenerRequest>(frame.body)) {
                drop(ParkedKind::Listener, request->id);
                return;
            }
            break;
        case wire::KeeperMessage::TakeListener:
        case wire::KeeperMessage::TakeSegment: obey_descriptor(index, frame, -1); return;
        case wire::KeeperMessage::ServeAsEdge:
            if (const auto request = wire::read_message<wire::ServeAsEdgeRequest>(frame.body)) {
                serve_as_edge(index, frame, *request);
                return;
            }
            break;
        case wire::KeeperMessage::UpgradeEdge:
            if (const char* const reason = upgrade_edge(frame)) refuse(index, frame, {}, reason);
            return;
        case wire::KeeperMessage::StandByAsEdge:
            if (const char* const reason = stand_by_as_edge(index, frame))
                refuse(index, frame, {}, reason);
            return;
        case wire::KeeperMessage::Shutdown:
            if (stopping_since_ns_ == 0) stopping_since_ns_ = now_ns_;
            clients_.answer(index, wire::KeeperMessage::ShuttingDown, {}, -1);
            return;
        default: break;
    }
    refuse(index, frame, {}, "keeper does not know this request");
}

void Keeper::obey_slot(std::uint32_t index, const wire::Frame& frame) {
    const char* reason = "the request is cut short";
    wire::SlotRef at{};
    if (frame.type == static_cast<std::uint16_t>(wire::KeeperMessage::Signal)) {
        if (const auto request = wire::read_message<wire::SignalRequest>(frame.body)) {
            at = request->at;
            reason = slots_.signal(*request);
        }
    } else if (const auto slot = wire::read_message<wire::SlotRef>(frame.body)) {
        at = *slot;
        const bool spawns = frame.type == static_cast<std::uint16_t>(wire::KeeperMessage::Spawn);
        reason = stopping_since_ns_ != 0 ? "keeper is shutting down"
                 : spawns                ? slots_.spawn(at)
                                         : slots_.forget(at);
    }
    if (reason != nullptr) refuse(index, frame, at, reason);
}

void Keeper::obey_descriptor(std::uint32_t index, const wire::Frame& frame, int descriptor) {
    wire::HandedEvent event{frame.type, 0, 0};
    const ParkedEntry* found = nullptr;
    const auto type = static_cast<wire::KeeperMessage>(frame.type);
    if (type == wire::KeeperMessage::ParkSegment || type == wire::KeeperMessage::ParkListener) {
        const char* const reason = keep(frame, descriptor, event.id);
        if (reason != nullptr) return refuse(index, frame, {}, reason);
    } else if (type == wire::KeeperMessage::TakeSegment) {
        found = parked_.find(ParkedKind::Segment, 0);
    } else if (const auto request = wire::read_message<wire::TakeListenerRequest>(frame.body)) {
        found = parked_.find(ParkedKind::Listener, request->id);
        event.id = request->id;
    }
    event.has_descriptor = found != nullptr ? 1 : 0;
    clients_.answer(index, wire::KeeperMessage::Handed, body_of(event),
                    found != nullptr ? found->fd : -1);
}

// Parks what a client gave; nullptr, or why not, and then it is closed.
const char* Keeper::keep(const wire::Frame& frame, int descriptor, std::uint32_t& id) {
    if (descriptor < 0) return "no descriptor came with it";
    ParkedEntry entry;
    entry.fd = descriptor;
    if (frame.type == static_cast<std::uint16_t>(wire::KeeperMessage::ParkSegment)) {
        entry.kind = ParkedKind::Segment;
        return park(entry) ? nullptr : "there is no room";
    }
    const auto request = wire::read_message<wire::ParkListenerRequest>(frame.body);
    if (!request || !describe_listener(descriptor, entry)) {
        ::close(descriptor);
        return request ? "this is no listening socket" : "the request is cut short";
    }
    entry.kind = ParkedKind::Listener;
    entry.id = id = request->id;
    if (parked_.find(ParkedKind::Listener, id) != nullptr) {
        ::close(descriptor);
        return nullptr;
    }
    return park(entry) ? nullptr : "there is no room";
}

void Keeper::ensure_listener(std::uint32_t index, const wire::EnsureListenerRequest& request) {
    const ParkedEntry* entry = parked_.find(ParkedKind::Listener, request.id);
    const bool same = entry != nullptr && entry->address == request.address &&
                      (request.port == 0 || entry->port == request.port);
    if (!same) {
        if (entry != nullptr) drop(ParkedKind::Listener, request.id);
        ParkedEntry made;
        made.kind = ParkedKind::Listener;
        made.id = request.id;
        made.fd = listen_on(request.address, request.port);
        int error = made.fd < 0 ? errno : 0;
        if (error == 0 && !(describe_listener(made.fd, made) && park(made))) error = ENOSPC;
        if (error != 0) {
            const wire::ListenerState state{request.id, request.address, request.port, 0, error};
            clients_.answer(index, wire::KeeperMessage::ListenerFailed, body_of(state), -1);
            return;
        }
        entry = parked_.find(ParkedKind::Listener, request.id);
    }
    clients_.listener_changed(static_cast<std::uint32_t>(entry - parked_.begin()));
}

// The first edge is our child and has claimed its slot; its successors, holders before, come to be
// known here.
void Keeper::serve_as_edge(std::uint32_t index, const wire::Frame& frame,
                           const wire::ServeAsEdgeRequest& request) {
    constexpr auto kEdge = static_cast<std::uint32_t>(wire::Role::Edge);
    constexpr auto kNextEdge = static_cast<std::uint32_t>(wire::Role::NextEdge);
    wire::SlotRecord& record = slots_.record(kEdge);
    const pid_t peer = peer_of(clients_.at(index).fd);
    const wire::SlotClaim claim = read_claim(record.claim);
    if (claim.pid != static_cast<std::uint32_t>(peer)) {
        if (is_alive(claim)) return refuse(index, frame, {}, "another edge lives");
        // It comes again.
        if (!claim_for(record, peer)) return clients_.close(index);
        slots_.adopt_one(kEdge);
    }
    // One that was started beside another has its own slot until now.
    const std::uint32_t beside = read_claim(slots_.record(kNextEdge).claim).pid;
    if (beside == static_cast<std::uint32_t>(peer) &&
        slots_.status(kNextEdge) == wire::SlotStatus::Running)
        slots_.leave_role(kNextEdge);
    clients_.at(index).is_edge = true;
    record.successor = request.holder_pid;
    record.successor_start = static_cast<std::uint32_t>(start_time_of(request.holder_pid));
}

}  // namespace thole::keeper
