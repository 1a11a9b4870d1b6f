#include "sim/loop.h"

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"

namespace thole::sim {
namespace {

// 2026-01-01T00:00:00Z, where the world's time is 0.
constexpr WallTime kWallStart = wall_from_nanoseconds(1'767'225'600'000'000'000);
// What a turn takes at least: so an event that asks for another at once cannot stop time.
constexpr Duration kTurn = std::chrono::microseconds(1);
constexpr std::size_t kNotedMax = 50;

std::uint64_t folded(std::uint64_t into, std::uint64_t number) {
    ByteWriter bytes;
    bytes.u64(number);
    return fnv1a(bytes.bytes(), into);
}

Time later(Time at, Duration by) {
    const Duration least = std::max(by, Duration::zero());
    return least > Time::max() - at ? Time::max() : at + least;
}

}  // namespace

WallTime SimLoop::wall() const { return kWallStart + at_.time_since_epoch() + wall_shift_; }

std::uint64_t SimLoop::schedule(Duration delay, Event event) {
    const std::uint64_t id = next_id_++;
    const Time due = later(at_, delay);
    queue_.emplace(Due{due, id}, Waiting{at_, std::move(event)});
    due_at_.emplace(id, due);
    return id;
}

void SimLoop::cancel(std::uint64_t id) {
    const auto found = due_at_.find(id);
    if (found == due_at_.end()) return;
    const Due due{found->second, id};
    due_at_.erase(found);
    // Taken out first: what dies with a callback may cancel others.
    const Queue::node_type waiting = queue_.extract(due);
    const Queue::node_type held = held_.extract(due);
}

void SimLoop::drop(const Life& life) {
    std::vector<Waiting> dropped;
    for (Queue* queue : {&queue_, &held_}) {
        for (auto next = queue->begin(); next != queue->end();) {
            if (next->second.event.life.get() != &life) {
                ++next;
                continue;
            }
            due_at_.erase(next->first.id);
            dropped.push_back(std::move(next->second));
            next = queue->erase(next);
        }
    }
}

void SimLoop::clear() {
    // What dies with a callback may cancel others: they are not found any more.
    Queue queue;
    Queue held;
    queue.swap(queue_);
    held.swap(held_);
    due_at_.clear();
}

void SimLoop::release(const Life& life) {
    for (auto next = held_.begin(); next != held_.end();) {
        const auto here = next++;
        if (here->second.event.life.get() == &life) queue_.insert(held_.extract(here));
    }
}

bool SimLoop::step_until(Time end) {
    CHECK(!is_running_);
    // A timer that waits for ever is none.
    while (!queue_.empty() && queue_.begin()->first.at <= end &&
           queue_.begin()->first.at != Time::max()) {
        Queue::node_type first = queue_.extract(queue_.begin());
        const LifePointer& life = first.mapped().event.life;
        if (life != nullptr && life->is_paused) {
            held_.insert(std::move(first));
            continue;
        }
        due_at_.erase(first.key().id);
        if (life != nullptr && !life->is_alive) continue;
        run(first.key(), std::move(first.mapped()));
        return true;
    }
    return false;
}

void SimLoop::run(const Due& due, Waiting waiting) {
    at_ = waiting.made_at == at_ && due.at <= at_ ? at_ + kTurn : std::max(at_, due.at);
    ++events_run_;
    note(waiting.event.kind, waiting.event.life == nullptr ? "" : waiting.event.life->name, due.id);
    is_running_ = true;
    waiting.event.call();
    is_running_ = false;
}

void SimLoop::run_for(Duration duration) {
    const Time end = later(at_, duration);
    while (step_until(end)) continue;
    if (end != Time::max()) at_ = std::max(at_, end);
}

bool SimLoop::run_until(const std::function<bool()>& holds, Duration limit) {
    const Time end = later(at_, limit);
    while (!holds()) {
        if (step_until(end)) continue;
        if (end != Time::max()) at_ = std::max(at_, end);
        return holds();
    }
    return true;
}

void SimLoop::suspend(Duration duration) {
    const Time before = at_;
    at_ = later(at_, duration);
    slept_ += at_ - before;
    note("suspend", "", static_cast<std::uint64_t>(duration.count()));
}

void SimLoop::jump_wall(Duration by) {
    wall_shift_ += by;
    note("jump wall", "", static_cast<std::uint64_t>(by.count()));
}

void SimLoop::reboot() {
    // Starting the kernel takes a moment, too.
    at_ = later(at_, std::chrono::seconds(10));
    booted_at_ = at_.time_since_epoch() - std::chrono::seconds(5);
    note("reboot", "", 0);
}

Duration SimLoop::draw(Range range) {
    CHECK(range.least <= range.most);
    const std::uint64_t span = static_cast<std::uint64_t>((range.most - range.least).count());
    return range.least + Duration(static_cast<std::int64_t>(random_.below(span + 1)));
}

void SimLoop::note(std::string_view kind, std::string_view whose, std::uint64_t number) {
    trace_ = folded(trace_, static_cast<std::uint64_t>(nanoseconds_of(at_)));
    trace_ = folded(fnv1a(whose, fnv1a(kind, trace_)), number);
    if (noted_.size() == kNotedMax) noted_.pop_front();
    noted_.push_back({at_, kind, std::string(whose), number});
}

std::string SimLoop::last_events() const {
    std::string text;
    for (const Noted& noted : noted_) {
        text += std::to_string(nanoseconds_of(noted.at) / 1000) + " us " + std::string(noted.kind) +
                " " + noted.whose + " " + std::to_string(noted.number) + "\n";
    }
    return text;
}

std::uint64_t SimTimers::add(Duration delay, std::function<void()> call) {
    if (!life_->is_alive) return 0;
    return loop_.schedule(delay, Event{"timer", life_, std::move(call)});
}

}  // namespace thole::sim
