// How long answers of a service usually take: learned, so that nobody has to set a limit for each
// attempt. Pure; a worker's, one a service.
#pragma once

#include <cstdint>

#include "edge/deadline.h"

namespace thole::edge {

class UsualTime {
public:
    // An instance answered after so long, well or not; time-outs are none.
    void answered(std::int64_t took_ns, std::int64_t now_ns);
    // Half of the answers take no longer than this.
    Usual half() const { return {samples_, half_ns_}; }
    // How long an attempt may be silent before another instance is asked, too: some times what the
    // slowest answer took of late, so that a service's slow pages are waited for. `most_ns` where
    // too little is known.
    std::int64_t try_limit_ns(std::int64_t now_ns, std::int64_t most_ns) const;

    // Whether an instance that has been silent for so long, and was then not waited for any more,
    // is one that hangs: longer than any answer of the last minutes took, and much longer than half
    // of them.
    bool is_unusual(std::int64_t silent_ns, std::int64_t now_ns) const;

private:
    void turn(std::int64_t now_ns);

    std::uint64_t samples_ = 0;
    std::int64_t half_ns_ = 0;
    // The slowest of this span of time and of the one before, and how many there were.
    std::int64_t begun_ns_ = 0;
    std::int64_t slowest_ns_[2] = {};
    std::uint64_t seen_[2] = {};
};

}  // namespace thole::edge
