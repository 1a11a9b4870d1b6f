#include "edge/admission.h"

#include <algorithm>

#include "model/defaults.h"

namespace thole::edge {

namespace {

constexpr char kLowFrom = '6';
constexpr std::uint64_t kRetryAfterLongest = 30;

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

// The part before `mark`, which is taken off with it.
std::string_view take_part(std::string_view& text, char mark) {
    const std::size_t at = text.find(mark);
    const std::string_view part = text.substr(0, at);
    text = at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
    return trimmed(part);
}

bool has_place(const Load& load, Priority priority) {
    return load.in_flight < places_for(load, priority);
}

bool is_overloaded(const Load& load) {
    return load.longest_wait_ns > model::kOverloadedAfter.count();
}

}  // namespace

std::uint32_t places_for(const Load& load, Priority priority) {
    if (priority == Priority::Normal) return load.in_flight_max;
    const std::uint64_t share =
        std::uint64_t{load.in_flight_max} * model::kLowPriorityPercent / 100;
    return std::min(static_cast<std::uint32_t>(std::max<std::uint64_t>(share, 1)),
                    load.in_flight_max);
}

Priority priority_of(std::string_view field) {
    // A dictionary of structured fields (RFC 8941 section 3.2); the last one of a name counts.
    Priority priority = Priority::Normal;
    while (!field.empty()) {
        std::string_view member = take_part(field, ',');
        const std::string_view item = take_part(member, ';');
        if (item.size() < 2 || item.substr(0, 2) != "u=") continue;
        const bool is_urgency = item.size() == 3 && item[2] >= '0' && item[2] <= '7';
        priority = is_urgency && item[2] >= kLowFrom ? Priority::Low : Priority::Normal;
    }
    return priority;
}

Entry admit(const Load& load, Priority priority) {
    const bool is_low = priority == Priority::Low;
    const std::uint32_t waiting = load.waiting_normal + load.waiting_low;
    const std::uint32_t before = is_low ? waiting : load.waiting_normal;
    if (before == 0 && has_place(load, priority)) return Entry::Admit;
    if (waiting < load.waiting_max) return Entry::Queue;
    if (load.waiting_max == 0) return Entry::Refuse;
    // The one that has waited for longest is the likeliest to be answered in vain.
    if (!is_low)
        return load.waiting_low > 0 ? Entry::QueueForOldestLow : Entry::QueueForOldestNormal;
    return load.waiting_low > 0 && is_overloaded(load) ? Entry::QueueForOldestLow : Entry::Refuse;
}

Next next(const Load& load) {
    if (load.waiting_normal > 0 && has_place(load, Priority::Normal)) {
        return is_overloaded(load) ? Next::NewestNormal : Next::OldestNormal;
    }
    if (load.waiting_normal == 0 && load.waiting_low > 0 && has_place(load, Priority::Low)) {
        return is_overloaded(load) ? Next::NewestLow : Next::OldestLow;
    }
    return Next::Nobody;
}

bool has_waited_too_long(std::int64_t wait_ns) { return wait_ns >= model::kQueueLimit.count(); }

std::uint32_t retry_after_seconds(const Load& load, std::uint32_t latency_us, Random& random) {
    const std::uint64_t ahead = std::uint64_t{load.waiting_normal} + load.waiting_low + 1;
    const std::uint64_t at_once = std::max<std::uint64_t>(load.in_flight_max, 1);
    const std::uint64_t seconds = ahead * latency_us / at_once / 1'000'000 + 1;
    const std::uint64_t least = std::min(seconds, kRetryAfterLongest);
    return static_cast<std::uint32_t>(
        std::min(least + random.below(least / 2 + 2), kRetryAfterLongest));
}

}  // namespace thole::edge
