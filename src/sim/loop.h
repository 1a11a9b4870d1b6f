// Virtual time on one thread: a queue ordered by (time, sequence number). Time stands still while
// an event runs and jumps to the next one after it; nothing ever waits.
//
// Every event is folded into a hash: two runs from one seed that differ anywhere differ in it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/random.h"
#include "env/timers.h"
#include "sim/life.h"

namespace thole::sim {

struct Range {
    Duration least;
    Duration most;
};

struct Event {
    std::string_view kind;  // A literal.
    LifePointer life;       // Whose; null: nobody's, it comes whoever dies.
    std::function<void()> call;
};

class SimLoop final : public env::Clock, public env::Timers {
public:
    explicit SimLoop(std::uint64_t seed) : random_(seed) {}

    // Since the machine's boot; begins anew at reboot().
    Time now() const override { return Time(at_ - booted_at_); }
    WallTime wall() const override;
    // The world's time, which no reboot sets back.
    Time world_now() const { return at_; }
    // The same, without what the machine slept.
    Time awake_now() const { return at_ - slept_; }

    // Runs the next event. False where none will ever come.
    bool step() { return step_until(Time::max()); }
    void run_for(Duration duration);
    // Whether the condition came to hold in time. It is asked before the first event and after
    // each.
    bool run_until(const std::function<bool()>& holds, Duration limit);

    // The machine slept: all that was due meanwhile comes late.
    void suspend(Duration duration);
    // Somebody set the clock that people read.
    void jump_wall(Duration by);
    void reboot();

    std::uint64_t schedule(Duration delay, Event event);
    void cancel(std::uint64_t id);
    // Drops the events of a process that has died.
    void drop(const Life& life);
    // Drops all: the world ends.
    void clear();
    // Events of a paused process are held; these come now.
    void release(const Life& life);

    Random& random() { return random_; }
    Duration draw(Range range);
    // Folds something that happened into the hash, and into last_events().
    void note(std::string_view kind, std::string_view whose, std::uint64_t number);
    std::uint64_t trace() const { return trace_; }
    std::uint64_t events_run() const { return events_run_; }
    // The newest fifty, a line each: what a failing run prints.
    std::string last_events() const;

private:
    struct Due {
        Time at;
        std::uint64_t id;
        bool operator<(const Due& other) const {
            return at != other.at ? at < other.at : id < other.id;
        }
    };
    struct Waiting {
        Time made_at;
        Event event;
    };
    struct Noted {
        Time at;
        std::string_view kind;
        std::string whose;
        std::uint64_t number;
    };
    using Queue = std::map<Due, Waiting>;

    std::uint64_t add(Duration delay, std::function<void()> call) override {
        return schedule(delay, Event{"timer", nullptr, std::move(call)});
    }
    void remove(std::uint64_t id) override { cancel(id); }
    bool step_until(Time end);
    void run(const Due& due, Waiting waiting);

    Random random_;
    Time at_ = Time(std::chrono::hours(1));
    Duration booted_at_ = Duration::zero();
    Duration slept_ = Duration::zero();
    Duration wall_shift_ = Duration::zero();
    Queue queue_;
    Queue held_;  // Of paused processes.
    std::unordered_map<std::uint64_t, Time> due_at_;
    std::uint64_t next_id_ = 1;
    std::uint64_t events_run_ = 0;
    std::uint64_t trace_ = 0xcbf29ce484222325U;
    std::deque<Noted> noted_;
    bool is_running_ = false;
};

// The timers of one process: they die with it.
class SimTimers final : public env::Timers {
public:
    SimTimers(SimLoop& loop, LifePointer life) : loop_(loop), life_(std::move(life)) {}

private:
    std::uint64_t add(Duration delay, std::function<void()> call) override;
    void remove(std::uint64_t id) override { loop_.cancel(id); }

    SimLoop& loop_;
    LifePointer life_;
};

}  // namespace thole::sim
