#include "os/linux_background.h"

#include <csignal>
#include <memory>

namespace thole::os {

LinuxBackground::LinuxBackground(Loop& loop) : loop_(loop) {
    // Signals are the loop's thread's business.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { work_off(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LinuxBackground::~LinuxBackground() {
    *alive_ = false;
    {
        const std::lock_guard<std::mutex> guard(lock_);
        ending_ = true;
        jobs_.clear();
    }
    changed_.notify_one();
    thread_.join();
}

void LinuxBackground::run(std::function<void()> work, std::function<void()> done) {
    {
        const std::lock_guard<std::mutex> guard(lock_);
        jobs_.push_back({std::move(work), std::move(done)});
    }
    changed_.notify_one();
}

void LinuxBackground::work_off() {
    while (true) {
        Job job;
        {
            std::unique_lock<std::mutex> guard(lock_);
            changed_.wait(guard, [this] { return ending_ || !jobs_.empty(); });
            if (ending_) return;
            job = std::move(jobs_.front());
            jobs_.pop_front();
        }
        job.work();
        loop_.post([alive = alive_, done = std::move(job.done)] {
            if (*alive) done();
        });
    }
}

}  // namespace thole::os
