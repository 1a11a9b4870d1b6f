#include "edge/hand_over.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "edge/lineage.h"
#include "edge/parking.h"
#include "os/fault_point.h"

namespace thole::edge {
namespace {

// For the new program to start: it is read from a disk that may be busy.
constexpr std::int64_t kGreetNs = 5'000'000'000;
// Clients wait so long at most where the new one hangs. Keeper takes us for hung after 5 s.
constexpr std::int64_t kHandOverNs = 2'000'000'000;

}  // namespace

void HandOver::begin(os::FileDescriptor link) {
    link_ = HandOverLink(std::move(link));
    successor_.reset(-1);
    deadline_ns_ = now_ns() + kGreetNs;
}

std::optional<wire::Upgraded> HandOver::turn() {
    if (!link_.is_open()) return std::nullopt;
    if (!successor_.is_open()) {
        pollfd ready{link_.descriptor(), POLLIN, 0};
        if (::poll(&ready, 1, 0) <= 0) {
            if (now_ns() < deadline_ns_) return std::nullopt;
            return fail(timed_out("the new edge did not start in 5 s"));
        }
        if (const Status greeted = greet(); !greeted) return fail(greeted.error());
    }
    const std::int64_t since_ns = now_ns();
    if (!park_workers(runtime_)) {
        let_go(runtime_);
        if (now_ns() < deadline_ns_) return std::nullopt;
        return fail(timed_out("a worker did not come to rest"));
    }
    FAULT_POINT("hand over, quiet");
    const Status done = hand_over(since_ns);
    let_go(runtime_);
    return fail(done.error());
}

Status HandOver::greet() {
    std::vector<os::FileDescriptor> with;
    const std::int64_t deadline_ns = now_ns() + kHandOverNs;
    const Result<std::string_view> body =
        link_.receive(wire::HandOverMessage::Hello, deadline_ns, with);
    if (!body) return unavailable("the new edge ended before it was ready");
    const auto hello = wire::read_message<wire::HandOverHello>(*body);
    if (with.size() == 1) successor_ = std::move(with[0]);
    if (!hello || hello->version != wire::kHandOverVersion || !successor_.is_open())
        return refuse("the new edge hands over in another way");
    if (hello->layout != kLayoutVersion)
        return refuse("the new edge has layout " + std::to_string(hello->layout) +
                      " of its memory, this one " + std::to_string(kLayoutVersion));
    return success();
}

Status HandOver::refuse(const std::string& reason) {
    wire::HandOverRefused refused{};
    std::strncpy(refused.reason, reason.c_str(), sizeof(refused.reason) - 1);
    // It may have gone: then it needs no reason.
    static_cast<void>(
        link_.send(wire::HandOverMessage::Refused, refused, {}, now_ns() + kHandOverNs));
    return invalid(reason);
}

// Every worker waits. Returns only with why they are to go on.
Status HandOver::hand_over(std::int64_t since_ns) {
    const std::uint32_t line = holder_.awaited().line;
    const std::int64_t deadline_ns = since_ns + kHandOverNs;
    const std::uint64_t offer = open_offer(runtime_.segment.lineage, line);
    if (offer == 0) ::_exit(0);
    FAULT_POINT("hand over, offered");
    Status sent = send_all(offer, since_ns, deadline_ns);
    if (sent.ok()) {
        // It ends us, or itself.
        pollfd end{link_.descriptor(), POLLIN, 0};
        const std::int64_t left_ns = std::max<std::int64_t>(deadline_ns - now_ns(), 0);
        sent = ::poll(&end, 1, static_cast<int>(left_ns / 1'000'000)) > 0
                   ? unavailable("the new edge ended before it took over")
                   : timed_out("the new edge did not take over in 2 s");
    }
    // It has taken it, and does not need us any more. Killed, as it would have done.
    while (!close_offer(runtime_.segment.lineage, line)) ::kill(::getpid(), SIGKILL);
    return sent;
}

std::vector<int> HandOver::what_goes() const {
    const Segment& segment = runtime_.segment;
    std::vector<int> all{segment.control_listener, segment.memory};
    for (std::uint32_t i = 0; i < segment.listener_count; ++i) {
        const ListenerEntry& listener = segment.listeners[i];
        if (listener.id != 0 && listener.fd >= 0) all.push_back(listener.fd);
    }
    for (std::uint32_t fd = 0; fd < kDescriptorsMax; ++fd) {
        const Record& record = segment.records[fd];
        if (record.kind != Kind::Free && cookie_of(static_cast<int>(fd)) == record.cookie)
            all.push_back(static_cast<int>(fd));
    }
    return all;
}

Status HandOver::send_all(std::uint64_t offer, std::int64_t since_ns, std::int64_t deadline_ns) {
    const std::vector<int> all = what_goes();
    const auto highest = static_cast<std::uint32_t>(*std::max_element(all.begin(), all.end()));
    const int first[] = {runtime_.segment.memory, holder_.awaited().edge_pidfd,
                         holder_.descriptor()};
    TRY(link_.send(
        wire::HandOverMessage::Offer,
        wire::HandOverOffer{offer, since_ns, static_cast<std::uint32_t>(::getpid()), highest + 1},
        first, deadline_ns));
    for (std::size_t at = 0; at < all.size(); at += wire::kDescriptorsAtOnce) {
        const std::size_t count = std::min<std::size_t>(wire::kDescriptorsAtOnce, all.size() - at);
        wire::HandOverDescriptors some{};
        std::fill(std::begin(some.numbers), std::end(some.numbers), -1);
        std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(at), count, some.numbers);
        TRY(link_.send(wire::HandOverMessage::Descriptors, some, {all.data() + at, count},
                       deadline_ns));
        FAULT_POINT("hand over, some sent");
    }
    return link_.send(wire::HandOverMessage::AllSent,
                      wire::HandOverAllSent{static_cast<std::uint32_t>(all.size())}, {},
                      deadline_ns);
}

// The new one is ended: else it might keep copies of connections that we close.
wire::Upgraded HandOver::fail(const Error& why) {
    link_.close();
    if (successor_.is_open())
        ::syscall(SYS_pidfd_send_signal, successor_.get(), SIGKILL, nullptr, 0);
    successor_.reset(-1);
    wire::Upgraded failed{};
    failed.old_pid = static_cast<std::uint32_t>(::getpid());
    std::strncpy(failed.reason, why.message.c_str(), sizeof(failed.reason) - 1);
    return failed;
}

}  // namespace thole::edge
