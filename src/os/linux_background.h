// env::Background on Linux: one thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "env/background.h"
#include "os/loop.h"

namespace thole::os {

class LinuxBackground final : public env::Background {
public:
    // The loop outlives it.
    explicit LinuxBackground(Loop& loop);
    ~LinuxBackground() override;
    void run(std::function<void()> work, std::function<void()> done) override;

private:
    struct Job {
        std::function<void()> work;
        std::function<void()> done;
    };
    void work_off();

    Loop& loop_;
    // Set false in the destructor, on the loop's thread: what was posted and not yet run is
    // dropped.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    std::mutex lock_;
    std::condition_variable changed_;
    std::deque<Job> jobs_;  // Under lock_.
    bool ending_ = false;   // Under lock_.
    std::thread thread_;
};

}  // namespace thole::os
