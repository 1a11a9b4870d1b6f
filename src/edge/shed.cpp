// Where descriptors or buffers are short: what is closed to make room for the rest (pressure.h says
// whose).
#include <algorithm>

#include "edge/worker.h"
#include "model/defaults.h"

namespace thole::edge {
namespace {

// Idle ones and those whose head is not whole; for buffers, only those that hold one. What has come
// and was not looked at may be a whole request.
void list_sheddable(Runtime& runtime, std::span<const std::uint32_t> clients, std::string_view why,
                    std::vector<Sheddable>& found) {
    found.clear();
    for (const std::uint32_t fd : clients) {
        const Record& record = runtime.record(fd);
        Socket& socket = runtime.socket(fd);
        if (record.shut == kShutWhole || socket.can_read) continue;
        if (why == kHalfHead && record.ring == kNone) continue;
        const bool is_idle = !has_exchange(record);
        const Exchange* const now = is_idle ? nullptr : &current(runtime.exchange(fd));
        if (!is_idle && now->phase != Phase::Reading) continue;
        found.push_back({.fd = fd,
                         .address = peer_of(static_cast<int>(fd), socket),
                         .since_ns = is_idle ? socket.since_ns : now->begun_ns,
                         .rank = is_idle ? Sheddable::Rank::Idle : Sheddable::Rank::HalfHead});
    }
}

// With requests under way, and buffers for them.
void list_streams(Runtime& runtime, std::span<const std::uint32_t> clients,
                  std::vector<Stream>& found) {
    found.clear();
    for (const std::uint32_t fd : clients) {
        const Record& record = runtime.record(fd);
        if (!has_exchange(record)) continue;
        const Exchange& now = current(runtime.exchange(fd));
        const std::uint32_t up = now.upstream;
        const bool holds_two = up != kNone && runtime.record(up).ring != kNone;
        if (now.phase == Phase::Reading || (record.ring == kNone && !holds_two)) continue;
        const Socket& client = runtime.socket(fd);
        std::uint64_t bytes = record.ring == kNone ? 0 : client.in - now.in_start;
        std::int64_t since_ns = client.since_ns;
        if (up != kNone) {
            const Socket& upstream = runtime.socket(up);
            if (record.ring != kNone)
                bytes = client.in - wanted_from(now.request, upstream.out, client.in);
            const bool has_begun = now.phase == Phase::Answering || now.phase == Phase::Tunnel;
            if (holds_two)
                bytes +=
                    upstream.in - (has_begun ? wanted_from(now.response, client.out, upstream.in)
                                             : now.upstream_in_start);
            since_ns = std::max(since_ns, upstream.since_ns);
        }
        found.push_back({fd, static_cast<std::uint32_t>(bytes), since_ns});
    }
}

}  // namespace

void Worker::shed() {
    Shortage& shortage = runtime_.shortages[number_];
    const auto close_first = [&](std::size_t wanted, std::string_view why) {
        list_sheddable(runtime_, clients_, why, shortage.sheddable);
        const std::size_t chosen = choose_to_shed(shortage.sheddable, wanted);
        for (std::size_t i = 0; i < chosen; ++i) {
            refused(shortage.sheddable[i].fd, why);
            close_client(shortage.sheddable[i].fd, wire::Outcome::ClientGone);
        }
    };
    if (const Fill fill = runtime_.descriptors_fill(); is_over(fill, model::kShedPercent)) {
        std::uint64_t all = 1;
        for (const auto& clients : runtime_.clients) all += clients.load(std::memory_order_relaxed);
        const std::uint64_t excess = above(fill, model::kShedToPercent);
        close_first(excess * clients_.size() / all + 1, kDescriptorsShort);
    }
    if (const std::uint32_t excess = above(free_.rings_fill(), model::kRefusePercent); excess > 0)
        close_first(excess, kHalfHead);
    if (const std::uint32_t excess = above(free_.rings_fill(), model::kResetPercent); excess > 0) {
        list_streams(runtime_, clients_, shortage.streams);
        const std::size_t chosen = largest(shortage.streams, excess);
        for (std::size_t i = 0; i < chosen; ++i) {
            const std::uint32_t fd = shortage.streams[i].fd;
            refused(fd, kLargest);
            set_closing(static_cast<int>(fd), Closing::Reset);
            close_client(fd, wire::Outcome::Overloaded);
        }
    }
    if (shortage.is_accepting || is_over(runtime_.descriptors_fill(), model::kTakeInPercent))
        return;
    shortage.is_accepting = true;
    listen_to_all();
}

}  // namespace thole::edge
