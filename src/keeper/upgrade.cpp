// An edge beside the edge (decision 8): keeper starts it, and joins the two. All else is between
// them.
#include <unistd.h>

#include <cstring>
#include <utility>

#include "keeper/root.h"
#include "keeper/sockets.h"
#include "keeper/table.h"

namespace thole::keeper {
namespace {

constexpr auto kServingEdge = static_cast<std::uint32_t>(wire::Role::Edge);
constexpr auto kEdgeBeside = static_cast<std::uint32_t>(wire::Role::NextEdge);

}  // namespace

void Slots::leave_role(std::uint32_t slot) {
    Private& own = private_[slot];
    own.child = 0;
    if (own.pidfd >= 0) ::close(std::exchange(own.pidfd, -1));
    own.is_unheld = false;
    own.asked_ns = 0;
    const wire::SlotClaim claim = read_claim(record(slot).claim);
    finish(slot, claim.generation, {.wait_status = 0, .flags = 0, .oom_kills = 0});
    exchange_claim(record(slot).claim, claim, {claim.generation, wire::kNobody, 0});
}

// Who has said that it is the edge; kClientsMax: nobody who lives.
std::uint32_t Keeper::edge_client() {
    const wire::SlotClaim claim = read_claim(slots_.record(kServingEdge).claim);
    for (std::uint32_t index = 0; index < kClientsMax; ++index) {
        const Client& client = clients_.at(index);
        const bool is_it = client.fd >= 0 && client.greeted && client.is_edge &&
                           static_cast<std::uint32_t>(peer_of(client.fd)) == claim.pid;
        if (is_it && clients_.is_answered(index)) return index;
    }
    return kClientsMax;
}

const char* Keeper::upgrade_edge(const wire::Frame& frame) {
    const auto request = wire::read_message<wire::UpgradeEdgeRequest>(frame.body);
    if (!request ||
        ::strnlen(request->program, sizeof(request->program)) == sizeof(request->program))
        return "the request is cut short";
    if (request->program[0] != '\0' && request->program[0] != '/')
        return "the program's path is not absolute";
    const std::uint32_t edge = edge_client();
    if (edge == kClientsMax) return "no edge serves just now";
    int pair[2] = {-1, -1};
    if (!make_link_pair(pair)) return "there is no room";
    const char* const reason = roles_.upgrade(request->program, pair[1], now_ns_);
    if (reason == nullptr)
        clients_.answer(edge, wire::KeeperMessage::HandOver, body_of(wire::HandedEvent{0, 1, 0}),
                        pair[0]);
    // The new one finds its end closed, should the old one be gone by now.
    ::close(pair[0]);
    ::close(pair[1]);
    return reason;
}

const char* Keeper::stand_by_as_edge(std::uint32_t index, const wire::Frame& frame) {
    const auto request = wire::read_message<wire::StandByAsEdgeRequest>(frame.body);
    const auto peer = static_cast<std::uint32_t>(peer_of(clients_.at(index).fd));
    wire::SlotRecord& record = slots_.record(kEdgeBeside);
    if (!request || read_claim(record.claim).pid != peer) return "it was not started as an edge";
    record.successor_start = static_cast<std::uint32_t>(start_time_of(request->holder_pid));
    record.successor = request->holder_pid;
    const wire::HandedEvent known{frame.type, 0, 0};
    clients_.answer(index, wire::KeeperMessage::Handed, body_of(known), -1);
    return nullptr;
}

}  // namespace thole::keeper
