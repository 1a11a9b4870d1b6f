// Whether a service burns the budget of its `slo` so fast that faults on purpose have to end: both
// in the last ten seconds and in the last one, so that neither a few errors of a moment nor what
// has passed already ends anything. The two windows are those of the Google SRE workbook (chapter
// 5, 14.4 times too fast), made short because a fault is. Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "base/time.h"

namespace thole::control {

// Of one service: totals, which only grow.
struct Served {
    std::uint64_t asked = 0;
    std::uint64_t failed = 0;
};

struct Burn {
    std::uint64_t asked = 0;
    std::uint64_t failed = 0;
    Duration within{};
};

class Burning {
public:
    // Times do not go back. What it was before the first look counts for nothing; so does all
    // before totals that fell, because others count now.
    void look(Time now, const Served& totals);
    // Of a million requests `allowed` may fail. Nothing where it does not burn too fast.
    std::optional<Burn> burn(std::int64_t allowed) const;

private:
    struct Look {
        Time at{};
        Served totals;
    };
    Burn since(Duration window) const;

    std::deque<Look> looks_;  // Oldest first; the first may be older than the longer window.
};

// "burned its budget 200 times too fast (12 of 60 failed in 10 s; allowed 0.1 %)"
std::string words_of(const Burn& burn, std::int64_t allowed);

}  // namespace thole::control
