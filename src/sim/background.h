// env::Background of one process. A job takes a drawn time; at its end `work` runs and `done` after
// it, in one turn.
#pragma once

#include <deque>

#include "env/background.h"
#include "sim/loop.h"

namespace thole::sim {

class SimBackground final : public env::Background {
public:
    SimBackground(SimLoop& loop, LifePointer life) : loop_(loop), life_(std::move(life)) {}

    void run(std::function<void()> work, std::function<void()> done) override;
    std::size_t waiting() const { return jobs_.size(); }

    // How long a job takes that begins from now on.
    void set_takes(Range takes) { takes_ = takes; }
    // No job ends before release().
    void hang();
    void release();

    // The process dies. The job that runs has happened, has not, or stopped after some of its file
    // operations: drawn. The others never begin.
    void kill();

private:
    struct Job {
        std::function<void()> work;
        std::function<void()> done;
    };

    void begin();
    void finish();

    SimLoop& loop_;
    LifePointer life_;
    Range takes_ = {std::chrono::microseconds(100), std::chrono::milliseconds(10)};
    std::deque<Job> jobs_;  // The first one runs.
    std::uint64_t event_ = 0;
    bool hangs_ = false;
    bool is_working_ = false;
};

}  // namespace thole::sim
