#include "edge/pressure.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "edge/segment.h"
#include "model/defaults.h"

namespace thole::edge {
namespace {

// What an edge needs besides its blocks: its code, its workers' lists, the pages of its segment.
constexpr std::uint64_t kOwnBytes = 8 * 1024 * 1024;
// With fewer it could not work at all.
constexpr std::uint64_t kRingsMin = 64 * kWorkers;

std::uint32_t share(std::uint32_t total, std::uint32_t percent) {
    return static_cast<std::uint32_t>(std::uint64_t{total} * percent / 100);
}

std::size_t end_of_run(std::span<const Sheddable> sorted, std::size_t at) {
    const std::uint32_t address = sorted[at].address;
    while (at < sorted.size() && sorted[at].address == address) ++at;
    return at;
}

// How many are above a level that each address may keep.
std::size_t count_above(std::span<const Sheddable> sorted, std::size_t level) {
    std::size_t count = 0;
    for (std::size_t at = 0; at < sorted.size();) {
        const std::size_t end = end_of_run(sorted, at);
        count += end - at > level ? end - at - level : 0;
        at = end;
    }
    return count;
}

}  // namespace

bool is_over(Fill fill, std::uint32_t percent) { return fill.used > share(fill.total, percent); }

std::uint32_t above(Fill fill, std::uint32_t percent) {
    const std::uint32_t most = share(fill.total, percent);
    return fill.used > most ? fill.used - most : 0;
}

bool ends_keep_alive(Fill descriptors, Fill rings) {
    return is_over(descriptors, model::kShedPercent) || is_over(rings, model::kRefusePercent);
}

std::size_t choose_to_shed(std::span<Sheddable> candidates, std::size_t wanted) {
    const auto key = [](const Sheddable& it) {
        return std::tuple(it.address, it.rank, it.since_ns);
    };
    std::sort(candidates.begin(), candidates.end(),
              [&](const Sheddable& a, const Sheddable& b) { return key(a) < key(b); });
    wanted = std::min(wanted, candidates.size());
    // The highest level at which enough are above it.
    std::size_t level = 0;
    std::size_t too_high = candidates.size() + 1;
    while (too_high - level > 1) {
        const std::size_t middle = level + (too_high - level) / 2;
        (count_above(candidates, middle) >= wanted ? level : too_high) = middle;
    }
    std::size_t chosen = 0;
    for (std::size_t at = 0; at < candidates.size();) {
        const std::size_t end = end_of_run(candidates, at);
        const std::size_t goes = end - at > level ? end - at - level : 0;
        for (std::size_t i = at; i < at + goes && chosen < wanted; ++i)
            std::swap(candidates[chosen++], candidates[i]);
        at = end;
    }
    return chosen;
}

std::size_t largest(std::span<Stream> streams, std::size_t wanted) {
    wanted = std::min(wanted, streams.size());
    const auto middle = streams.begin() + static_cast<std::ptrdiff_t>(wanted);
    std::partial_sort(streams.begin(), middle, streams.end(), [](const Stream& a, const Stream& b) {
        return a.bytes != b.bytes ? a.bytes > b.bytes : a.since_ns < b.since_ns;
    });
    return wanted;
}

Room room_in(std::optional<std::uint64_t> memory_limit) {
    if (!memory_limit) return {kRings, kHeads};
    const std::uint64_t whole = std::min<std::uint64_t>(*memory_limit, std::uint64_t{1} << 50);
    const std::uint64_t usable = whole / 100 * model::kMemoryPercent;
    const std::uint64_t left = usable > kOwnBytes ? usable - kOwnBytes : 0;
    constexpr std::uint64_t kHeadsOfOne = kHeads / kRings;
    const std::uint64_t fit = left / (kRingBytes + kHeadsOfOne * kHeadBytes);
    const auto rings =
        static_cast<std::uint32_t>(std::clamp<std::uint64_t>(fit, kRingsMin, kRings));
    return {rings, static_cast<std::uint32_t>(rings * kHeadsOfOne)};
}

}  // namespace thole::edge
