// The loop of one thread: readiness by epoll (level-triggered), timers by a heap, and a mailbox for
// other threads. One clock reading a turn. Everything but post() belongs to the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "env/timers.h"
#include "os/fd.h"

namespace thole::os {

Time boot_now();
WallTime wall_now();

class Loop;

// Watches one descriptor for as long as it lives. The descriptor stays its user's.
class Watch {
public:
    Watch() = default;
    Watch(Loop& loop, int fd, std::uint64_t id) : loop_(&loop), fd_(fd), id_(id) {}
    Watch(Watch&& other) noexcept
        : loop_(std::exchange(other.loop_, nullptr)), fd_(other.fd_), id_(other.id_) {}
    Watch& operator=(Watch&& other) noexcept;
    ~Watch() { stop(); }
    // `events` as EPOLLIN | EPOLLOUT; 0 still reports errors and hang-ups.
    void want(std::uint32_t events);
    void stop();

private:
    Loop* loop_ = nullptr;
    int fd_ = -1;
    std::uint64_t id_ = 0;
};

class Loop final : public env::Clock, public env::Timers {
public:
    Loop();
    ~Loop() override;

    Time now() const override { return now_; }
    WallTime wall() const override;

    // Calls with the EPOLL* bits whenever the descriptor is ready.
    [[nodiscard]] Watch watch(int fd, std::uint32_t events,
                              std::function<void(std::uint32_t)> ready);
    // From any thread: calls on the loop's thread, in order.
    void post(std::function<void()> call);
    // On the loop's thread, before the loop waits again.
    void soon(std::function<void()> call);

    // Turns until stop(). `each_turn`, where set, is called at the end of every turn.
    void run();
    void stop() { running_ = false; }
    // One turn that waits at most this long: for tests and for programs with a loop of their own.
    void turn(Duration wait_max);
    void set_each_turn(std::function<void()> call) { each_turn_ = std::move(call); }

private:
    friend class Watch;
    struct Watched {
        int fd;
        std::function<void(std::uint32_t)> ready;
    };
    struct Due {
        Time at;
        std::uint64_t id;
        bool operator<(const Due& other) const {
            return at != other.at ? at < other.at : id < other.id;
        }
    };

    std::uint64_t add(Duration delay, std::function<void()> call) override;
    void remove(std::uint64_t id) override;
    void unwatch(int fd, std::uint64_t id);
    void modify(int fd, std::uint64_t id, std::uint32_t events);
    int wait_milliseconds(Duration wait_max) const;
    void fire_timers();
    void take_mail();
    void run_soon();

    FileDescriptor epoll_;
    FileDescriptor wake_;
    Time now_;
    bool running_ = false;
    std::uint64_t next_id_ = 1;
    std::unordered_map<std::uint64_t, std::shared_ptr<Watched>> watched_;
    std::map<Due, std::function<void()>> due_;
    std::unordered_map<std::uint64_t, Time> due_at_;
    std::vector<std::function<void()>> soon_;
    std::function<void()> each_turn_;
    std::mutex mail_lock_;
    std::vector<std::function<void()>> mail_;  // Under mail_lock_.
};

}  // namespace thole::os
