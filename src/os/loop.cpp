#include "os/loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"

namespace thole::os {
namespace {

constexpr std::uint64_t kWakeId = 0;
constexpr int kEventsMax = 64;

std::int64_t read_clock(clockid_t clock) {
    timespec at{};
    CHECK(clock_gettime(clock, &at) == 0);
    return static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
}

}  // namespace

Time boot_now() { return time_from_nanoseconds(read_clock(CLOCK_BOOTTIME)); }
WallTime wall_now() { return wall_from_nanoseconds(read_clock(CLOCK_REALTIME)); }

Watch& Watch::operator=(Watch&& other) noexcept {
    if (this != &other) {
        stop();
        loop_ = std::exchange(other.loop_, nullptr);
        fd_ = other.fd_;
        id_ = other.id_;
    }
    return *this;
}

void Watch::want(std::uint32_t events) {
    CHECK(loop_ != nullptr);
    loop_->modify(fd_, id_, events);
}

void Watch::stop() {
    if (loop_ != nullptr) std::exchange(loop_, nullptr)->unwatch(fd_, id_);
}

Loop::Loop()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      now_(boot_now()) {
    CHECK(epoll_.is_open() && wake_.is_open());
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = kWakeId;
    CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) == 0);
}

Loop::~Loop() = default;

WallTime Loop::wall() const { return wall_now(); }

Watch Loop::watch(int fd, std::uint32_t events, std::function<void(std::uint32_t)> ready) {
    const std::uint64_t id = next_id_++;
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
    watched_.emplace(id, std::make_shared<Watched>(Watched{fd, std::move(ready)}));
    return Watch(*this, fd, id);
}

void Loop::modify(int fd, std::uint64_t id, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0);
}

void Loop::unwatch(int fd, std::uint64_t id) {
    watched_.erase(id);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

std::uint64_t Loop::add(Duration delay, std::function<void()> call) {
    const std::uint64_t id = next_id_++;
    const Duration least = std::max(delay, Duration::zero());
    const Time at = least > Time::max() - now_ ? Time::max() : now_ + least;
    due_.emplace(Due{at, id}, std::move(call));
    due_at_.emplace(id, at);
    return id;
}

void Loop::remove(std::uint64_t id) {
    const auto found = due_at_.find(id);
    if (found == due_at_.end()) return;
    due_.erase(Due{found->second, id});
    due_at_.erase(found);
}

void Loop::post(std::function<void()> call) {
    {
        const std::lock_guard<std::mutex> guard(mail_lock_);
        mail_.push_back(std::move(call));
    }
    const std::uint64_t one = 1;
    // A full counter is awake already.
    [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

void Loop::soon(std::function<void()> call) { soon_.push_back(std::move(call)); }

int Loop::wait_milliseconds(Duration wait_max) const {
    if (!soon_.empty()) return 0;
    Duration wait = wait_max;
    if (!due_.empty())
        wait = std::min(wait, std::max(due_.begin()->first.at - boot_now(), Duration::zero()));
    if (wait >= std::chrono::hours(1)) return 3'600'000;
    // Rounded up, so that a timer is never looked at too early and the loop does not spin.
    return static_cast<int>((wait.count() + 999'999) / 1'000'000);
}

void Loop::fire_timers() {
    // Timers made by these calls wait for the next turn, so that a timer of 0 cannot starve the
    // rest.
    const std::uint64_t newest = next_id_;
    while (!due_.empty() && due_.begin()->first.at <= now_ && due_.begin()->first.id < newest) {
        const auto first = due_.begin();
        const std::function<void()> call = std::move(first->second);
        due_at_.erase(first->first.id);
        due_.erase(first);
        call();
    }
}

void Loop::take_mail() {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof(count));
    std::vector<std::function<void()>> mail;
    {
        const std::lock_guard<std::mutex> guard(mail_lock_);
        mail.swap(mail_);
    }
    for (const std::function<void()>& call : mail) call();
}

void Loop::run_soon() {
    std::vector<std::function<void()>> calls;
    calls.swap(soon_);
    for (const std::function<void()>& call : calls) call();
}

void Loop::turn(Duration wait_max) {
    epoll_event events[kEventsMax];
    const int count = epoll_wait(epoll_.get(), events, kEventsMax, wait_milliseconds(wait_max));
    CHECK(count >= 0 || errno == EINTR);
    now_ = boot_now();
    for (int i = 0; i < count; ++i) {
        if (events[i].data.u64 == kWakeId) {
            take_mail();
            continue;
        }
        // A callback may have ended this watch, so it is looked up, and held while it runs.
        const auto found = watched_.find(events[i].data.u64);
        if (found == watched_.end()) continue;
        const std::shared_ptr<Watched> watched = found->second;
        watched->ready(events[i].events);
    }
    fire_timers();
    run_soon();
    if (each_turn_) each_turn_();
}

void Loop::run() {
    running_ = true;
    while (running_) turn(kForever);
}

}  // namespace thole::os
