// What time it is, and being called later.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/time.h"

namespace thole::env {

class Clock {
public:
    virtual ~Clock() = default;
    // When this turn of the loop began: one value a turn, so that all decisions of a turn agree.
    virtual Time now() const = 0;
    // For people and files; never for decisions.
    virtual WallTime wall() const = 0;
};

class Timers;

// Cancels when destroyed. Empty by default.
class Timer {
public:
    Timer() = default;
    Timer(Timers& owner, std::uint64_t id) : owner_(&owner), id_(id) {}
    Timer(Timer&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), id_(other.id_) {}
    Timer& operator=(Timer&& other) noexcept;
    ~Timer() { cancel(); }

    void cancel();

private:
    Timers* owner_ = nullptr;
    std::uint64_t id_ = 0;
};

class Timers {
public:
    virtual ~Timers() = default;
    // Calls once, `delay` from now or a little later. Two of the same moment come in the order in
    // which they were made.
    [[nodiscard]] Timer after(Duration delay, std::function<void()> call) {
        return Timer(*this, add(delay, std::move(call)));
    }

protected:
    friend class Timer;
    virtual std::uint64_t add(Duration delay, std::function<void()> call) = 0;
    // Unknown ids (it has fired) are nothing.
    virtual void remove(std::uint64_t id) = 0;
};

inline void Timer::cancel() {
    if (owner_ != nullptr) std::exchange(owner_, nullptr)->remove(id_);
}

inline Timer& Timer::operator=(Timer&& other) noexcept {
    if (this != &other) {
        cancel();
        owner_ = std::exchange(other.owner_, nullptr);
        id_ = other.id_;
    }
    return *this;
}

}  // namespace thole::env
