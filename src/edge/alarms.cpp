#include "edge/alarms.h"

#include <algorithm>

namespace thole::edge {
namespace {

constexpr std::size_t kAtFirst = 1024;  // More at a time are rare, and doubled.

bool is_later(const Alarms::Alarm& left, const Alarms::Alarm& right) {
    return left.at_ns > right.at_ns;
}

}  // namespace

Alarms::Alarms() { heap_.reserve(kAtFirst); }

void Alarms::set(std::uint32_t fd, std::int64_t& set_ns, std::int64_t at_ns) {
    if (set_ns != 0 && set_ns <= at_ns) return;
    set_ns = at_ns;
    heap_.push_back({at_ns, fd});
    std::push_heap(heap_.begin(), heap_.end(), is_later);
}

std::int64_t Alarms::quiet_ns(std::int64_t now_ns, std::int64_t most_ns) const {
    if (heap_.empty()) return most_ns;
    return std::clamp<std::int64_t>(heap_.front().at_ns - now_ns, 0, most_ns);
}

bool Alarms::take(std::int64_t now_ns, Alarm& alarm) {
    if (heap_.empty() || heap_.front().at_ns > now_ns) return false;
    alarm = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), is_later);
    heap_.pop_back();
    return true;
}

}  // namespace thole::edge
