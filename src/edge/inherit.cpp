#include "edge/inherit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "edge/clock.h"
#include "edge/segment.h"
#include "os/fault_point.h"

namespace thole::edge {
namespace {

// The old edge gives up before that.
constexpr std::int64_t kOfferNs = 10'000'000'000;
constexpr int kNumbersAway = 8;  // So many numbers are for what moves away.
constexpr int kOldEndsMs = 1000;

int highest_number() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<int>(limit.rlim_cur) - 1;
}

// Out of the way of all those that are still to come.
Status move_above(std::vector<os::FileDescriptor>& descriptors, int from) {
    for (os::FileDescriptor& descriptor : descriptors) {
        const int high = ::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, from);
        if (high < 0) return from_errno(errno, "find room above the old edge's descriptors");
        descriptor.reset(high);
    }
    return success();
}

Status place_at_numbers(std::vector<os::FileDescriptor>& descriptors,
                        const wire::HandOverDescriptors& numbers, int free_from) {
    TRY(move_above(descriptors, free_from));
    for (std::size_t i = 0; i < descriptors.size(); ++i) {
        const int number = numbers.numbers[i];
        if (number <= STDERR_FILENO || number >= free_from)
            return invalid("the old edge hands over a number of its own: " +
                           std::to_string(number));
        if (::dup3(descriptors[i].get(), number, O_CLOEXEC) < 0)
            return from_errno(errno, "take over descriptor " + std::to_string(number));
    }
    descriptors.clear();
    return success();
}

Status greet_old(HandOverLink& link) {
    const os::FileDescriptor self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    if (!self.is_open()) return from_errno(errno, "pidfd_open");
    const int with[] = {self.get()};
    return link.send(wire::HandOverMessage::Hello,
                     wire::HandOverHello{wire::kHandOverVersion, kLayoutVersion,
                                         static_cast<std::uint32_t>(::getpid()), 0},
                     with, now_ns() + kOfferNs);
}

Result<wire::HandOverOffer> hear_offer(HandOverLink& link, std::vector<os::FileDescriptor>& with) {
    const wire::Frame frame = TRY(link.receive_any(now_ns() + kOfferNs, with));
    if (frame.type == static_cast<std::uint16_t>(wire::HandOverMessage::Refused))
        return invalid("the old edge refuses");
    const auto offer = wire::read_message<wire::HandOverOffer>(frame.body);
    const bool is_offer = frame.type == static_cast<std::uint16_t>(wire::HandOverMessage::Offer);
    if (!is_offer || !offer || with.size() != 3) return invalid("the old edge makes no offer");
    if (offer->free_from > static_cast<std::uint32_t>(highest_number() - kNumbersAway))
        return overload("the old edge has too many descriptors");
    return *offer;
}

void end_process(int process) {
    if (process < 0) return;
    ::syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0);
    pollfd death{process, POLLIN, 0};
    ::poll(&death, 1, kOldEndsMs);
}

}  // namespace

void move_away(os::FileDescriptor& descriptor) {
    const int high =
        ::fcntl(descriptor.get(), F_DUPFD_CLOEXEC, highest_number() - kNumbersAway + 1);
    if (high >= 0) descriptor.reset(high);
}

Result<Inheritance> inherit(HandOverLink& link) {
    TRY(greet_old(link));
    std::vector<os::FileDescriptor> first;
    const wire::HandOverOffer offer = TRY(hear_offer(link, first));
    const auto free_from = static_cast<int>(offer.free_from);
    TRY(move_above(first, free_from));
    const std::int64_t deadline_ns = now_ns() + kOfferNs;
    std::uint32_t count = 0;
    std::vector<os::FileDescriptor> some;
    while (true) {
        const wire::Frame frame = TRY(link.receive_any(deadline_ns, some));
        if (frame.type == static_cast<std::uint16_t>(wire::HandOverMessage::AllSent)) {
            const auto all = wire::read_message<wire::HandOverAllSent>(frame.body);
            if (!all || all->count != count) return unavailable("descriptors are missing");
            break;
        }
        const auto numbers = wire::read_message<wire::HandOverDescriptors>(frame.body);
        if (!numbers || some.size() > wire::kDescriptorsAtOnce)
            return unavailable("the old edge says something else than is expected");
        count += static_cast<std::uint32_t>(some.size());
        TRY(place_at_numbers(some, *numbers, free_from));
        FAULT_POINT("inherit, some placed");
    }
    return Inheritance{.memory = first[0].release(),
                       .offer = offer.offer,
                       .since_ns = offer.since,
                       .old_pid = offer.pid,
                       .old_edge = first[1].release(),
                       .old_holder = first[2].release()};
}

void end_those_before(const Inheritance& from) {
    end_process(from.old_edge);
    end_process(from.old_holder);
}

}  // namespace thole::edge
