#include "sim/background.h"

namespace thole::sim {

namespace {
// More file operations than most jobs have, so that each place to stop is drawn.
constexpr std::uint64_t kOperationsMax = 24;
}  // namespace

void SimBackground::run(std::function<void()> work, std::function<void()> done) {
    if (!life_->is_alive) return;
    jobs_.push_back({std::move(work), std::move(done)});
    if (jobs_.size() == 1) begin();
}

void SimBackground::begin() {
    if (jobs_.empty() || hangs_ || is_working_) return;
    event_ = loop_.schedule(loop_.draw(takes_), Event{"background", life_, [this] { finish(); }});
}

void SimBackground::finish() {
    // Stays the first while it works: who asks meanwhile must not begin another.
    const Job job = jobs_.front();
    is_working_ = true;
    job.work();
    is_working_ = false;
    if (!life_->is_alive) return;
    jobs_.pop_front();
    begin();
    job.done();
}

void SimBackground::hang() {
    hangs_ = true;
    loop_.cancel(event_);
}

void SimBackground::release() {
    if (!std::exchange(hangs_, false)) return;
    begin();
}

void SimBackground::kill() {
    std::deque<Job> jobs;
    jobs.swap(jobs_);
    loop_.cancel(event_);
    if (jobs.empty() || is_working_) return;
    const std::uint64_t drawn = loop_.random().below(3);
    if (drawn == 0) return;
    if (drawn == 1) life_->operations_left = loop_.random().below(kOperationsMax);
    jobs.front().work();
}

}  // namespace thole::sim
