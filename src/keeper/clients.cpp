#include "keeper/clients.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "keeper/parked.h"
#include "os/peers.h"

namespace thole::keeper {

bool Clients::accept(int listener) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return false;
    const bool is_ours = os::may_command(fd);
    for (std::uint32_t i = 0; is_ours && i < kClientsMax; ++i) {
        if (clients_[i].fd >= 0) continue;
        clients_[i] = Client{};
        clients_[i].fd = fd;
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = tag_ | i;
        ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
        return true;
    }
    ::close(fd);
    return false;
}

void Clients::close(std::uint32_t index) {
    if (clients_[index].fd >= 0) {
        // Said first: a child between fork and exec may hold a copy, and would keep it in the set.
        ::epoll_ctl(epoll_, EPOLL_CTL_DEL, clients_[index].fd, nullptr);
        ::close(std::exchange(clients_[index].fd, -1));
    }
    if (clients_[index].answer_fd >= 0) ::close(std::exchange(clients_[index].answer_fd, -1));
    clients_[index].answer_bytes = 0;
    clients_[index].greeted = clients_[index].is_edge = false;
}

void Clients::greet(std::uint32_t index) {
    Client& client = clients_[index];
    client.greeted = true;
    client.is_synced = false;
    for (std::uint32_t slot = wire::kRoleSlots; slot < wire::kSlotsMax; ++slot) {
        if (news_.slot_news(slot).status != wire::SlotStatus::Free) {
            client.slots[slot / 64] |= std::uint64_t{1} << (slot % 64);
        }
    }
    for (std::uint64_t& bits : client.listeners) bits = ~std::uint64_t{0};
    client.roles = ~std::uint32_t{0};
    flush(index);
}

void Clients::slots_changed(const SlotBits& changed) {
    for (Client& client : clients_) {
        for (std::size_t i = 0; client.greeted && i < changed.size(); ++i)
            client.slots[i] |= changed[i];
    }
}

void Clients::listener_changed(std::uint32_t place) {
    for (Client& client : clients_)
        client.listeners[place / 64] |= std::uint64_t{1} << (place % 64);
}

void Clients::role_changed(std::uint32_t role) {
    for (Client& client : clients_) client.roles |= 1U << role;
}

bool Clients::send(Client& client, wire::KeeperMessage type, std::string_view body) {
    const wire::FrameHeader header = wire::frame_header(static_cast<std::uint16_t>(type), body);
    char frame[256];
    std::memcpy(frame, &header, sizeof(header));
    std::memcpy(frame + sizeof(header), body.data(), body.size());
    return ::send(client.fd, frame, sizeof(header) + body.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

bool Clients::flush_slots(Client& client) {
    for (std::size_t i = 0; i < client.slots.size(); ++i) {
        while (client.slots[i] != 0) {
            const auto bit = static_cast<std::uint32_t>(std::countr_zero(client.slots[i]));
            const auto slot = static_cast<std::uint32_t>(i * 64) + bit;
            if (slot >= wire::kRoleSlots &&
                !send(client, wire::KeeperMessage::State, body_of(news_.slot_news(slot)))) {
                return false;
            }
            client.slots[i] &= ~(std::uint64_t{1} << bit);
        }
    }
    return true;
}

bool Clients::flush_rest(Client& client) {
    for (std::uint32_t place = 0; place < kParkedMax; ++place) {
        const std::uint64_t bit = std::uint64_t{1} << (place % 64);
        if ((client.listeners[place / 64] & bit) == 0) continue;
        wire::ListenerState state{};
        if (news_.listener_news(place, state) &&
            !send(client, wire::KeeperMessage::ListenerReady, body_of(state))) {
            return false;
        }
        client.listeners[place / 64] &= ~bit;
    }
    for (std::uint32_t role = 0; role < wire::kRoleSlots; ++role) {
        if ((client.roles & (1U << role)) == 0) continue;
        wire::RoleState state{};
        if (news_.role_news(role, state) &&
            !send(client, wire::KeeperMessage::RoleChanged, body_of(state))) {
            return false;
        }
        client.roles &= ~(1U << role);
    }
    client.roles = 0;
    if (!client.is_synced) {
        if (!send(client, wire::KeeperMessage::Synced, body_of(news_.synced_news()))) return false;
        client.is_synced = true;
    }
    return true;
}

void Clients::watch(std::uint32_t index) {
    epoll_event event{};
    event.events = (clients_[index].answer_bytes == 0 ? EPOLLIN : 0U) |
                   (clients_[index].wants_room ? EPOLLOUT : 0U);
    event.data.u64 = tag_ | index;
    ::epoll_ctl(epoll_, EPOLL_CTL_MOD, clients_[index].fd, &event);
}

void Clients::flush(std::uint32_t index) {
    Client& client = clients_[index];
    if (client.fd < 0 || !client.greeted) return;
    const bool owed = client.answer_bytes != 0;
    send_answer(index);
    if (client.fd < 0) return;
    const bool owes = client.answer_bytes != 0;
    const bool waits = owes || !(flush_slots(client) && flush_rest(client));
    if (std::exchange(client.wants_room, waits) != waits || owed != owes) watch(index);
}

void Clients::flush_all() {
    for (std::uint32_t i = 0; i < kClientsMax; ++i) {
        if (!clients_[i].wants_room) flush(i);
    }
}

// Sends what waits; who cannot be sent it at all is closed, and asks anew.
void Clients::send_answer(std::uint32_t index) {
    Client& client = clients_[index];
    if (client.answer_bytes == 0) return;
    if (send_with_descriptor(client.fd, client.answer, client.answer_bytes, client.answer_fd) < 0) {
        if (errno != EAGAIN && errno != EINTR) close(index);
        return;
    }
    client.answer_bytes = 0;
    if (client.answer_fd >= 0) ::close(std::exchange(client.answer_fd, -1));
}

void Clients::answer(std::uint32_t index, wire::KeeperMessage type, std::string_view body,
                     int descriptor) {
    Client& client = clients_[index];
    const wire::FrameHeader header = wire::frame_header(static_cast<std::uint16_t>(type), body);
    const std::size_t size = sizeof(header) + body.size();
    std::memcpy(client.answer, &header, sizeof(header));
    std::memcpy(client.answer + sizeof(header), body.data(), body.size());
    if (send_with_descriptor(client.fd, client.answer, size, descriptor) >= 0) return;
    // Whoever has gone is read to the end: of what they asked, not all wants an answer.
    if (errno == EPIPE || errno == ECONNRESET) return;
    if (errno != EAGAIN && errno != EINTR) return close(index);
    // A copy: what is parked may be dropped meanwhile.
    const int copy = descriptor < 0 ? -1 : ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (descriptor >= 0 && copy < 0) return close(index);
    client.answer_bytes = static_cast<std::uint32_t>(size);
    client.answer_fd = copy;
    client.wants_room = true;
    watch(index);
}

}  // namespace thole::keeper
