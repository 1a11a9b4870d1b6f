// What happened in a world, in words, and the first promise that was broken. All of it is folded
// into the trace.
#pragma once

#include <deque>
#include <string>

#include "sim/loop.h"

namespace thole::simulation {

class Story {
public:
    explicit Story(sim::SimLoop& loop) : loop_(loop) {}
    Story(const Story&) = delete;

    void tell(const std::string& text);
    void fail(const std::string& text);
    const std::string& failure() const { return failure_; }
    // Each line as it comes, on stdout.
    void be_loud() { is_loud_ = true; }
    std::string last_lines() const;

private:
    sim::SimLoop& loop_;
    std::string failure_;
    std::deque<std::string> lines_;
    bool is_loud_ = false;
};

}  // namespace thole::simulation
