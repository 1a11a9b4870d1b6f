// How long to wait before the next start after failures in a row. The first start after one is at
// once: most failures are single. Then the wait doubles, with jitter, so that services that fell
// together do not rise together.
#pragma once

#include "base/random.h"
#include "base/time.h"
#include "model/instance.h"

namespace thole::recovery {

struct Failures {
    int in_row = 0;
    Time next_start{};  // Not before this.
    Time forgiven{};    // When one was killed as soon as it was ready, and that did not count.
    bool operator==(const Failures&) const = default;
};

struct EndSeen {
    model::End end;
    bool was_ready = false;
    Duration ready_for{};    // Zero where it never was.
    bool was_asked = false;  // It ended because we ended it.
};

// One that was killed from outside after it was ready is no failure of the service; nor is one that
// we ended. But a program may kill itself: as soon as it is ready that is forgiven once in a while.
// Ready for long enough forgets what was before.
Failures after_end(Failures before, const EndSeen& seen, Time now, Random& random);

}  // namespace thole::recovery
