// Work that blocks (a commit, a build's files), off the loop: one queue, one at a time, in order.
#pragma once

#include <functional>

namespace thole::env {

class Background {
public:
    virtual ~Background() = default;
    // Runs `work` elsewhere, then `done` on the loop. Work shares nothing with the loop but what it
    // was given. Destroying the queue waits for the running work and drops the rest; `done` of
    // these never comes.
    virtual void run(std::function<void()> work, std::function<void()> done) = 0;
};

}  // namespace thole::env
