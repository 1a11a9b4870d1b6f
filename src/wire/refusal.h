// What the edge says of whom it refused, and by which rule. Part of the link of edge.h.
#pragma once

#include <cstdint>

#include "wire/edge.h"

namespace thole::wire {

enum class RefusalKind : std::uint32_t {
    Request,   // A client's, or its connection.
    Answer,    // An instance's: its client was answered 502 instead, or cut off.
    Reported,  // A request that broke the rule and was served all the same (`check: report`).
    Count_,
};
constexpr std::uint32_t kRefusalKinds = static_cast<std::uint32_t>(RefusalKind::Count_);

constexpr std::size_t kRuleIdMax = 23;

// Only where Hello asked for routes. After Hello all is told, then what has grown; `more` as in
// RoutesHeader.
using RefusalsHeader = RoutesHeader;
// Totals, as RouteStats. An id is text, so that edge and control need not have the same list.
struct RefusalStats {
    RefusalKind kind;
    std::uint32_t listener;  // 0: none, or what found no place of its own.
    std::uint32_t service;   // By whose route; kNoSlot: it was not known yet.
    std::uint32_t reserved;
    char rule[kRuleIdMax + 1];  // "H1-CL-DUP", NUL-padded.
    std::uint64_t count;
};
static_assert(sizeof(RefusalStats) == 48);

}  // namespace thole::wire
