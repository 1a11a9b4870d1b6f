// Who has a place at a service, of all workers together, and how many wait for one: each change is
// one atomic step, so that its cap holds whoever comes at the same moment. A successor of the edge
// counts anew, by what it adopts: so that a death loses no place.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "edge/admission.h"
#include "edge/segment.h"

namespace thole::edge {

// What waits for an instance of one service, of all workers.
class Held {
public:
    // False where it would be more than these; then nothing was taken.
    bool take(std::uint32_t bytes, std::uint32_t requests_max, std::uint32_t bytes_max);
    void give_back(std::uint32_t bytes) { all_.fetch_sub(kOne + bytes); }
    std::uint32_t requests() const { return static_cast<std::uint32_t>(all_.load() / kOne); }

private:
    static constexpr std::uint64_t kOne = std::uint64_t{1} << 32;
    std::atomic<std::uint64_t> all_{0};  // Requests << 32 | bytes: a place is taken whole.
};

// Of one service, too.
class alignas(64) Places {
public:
    // False where that many are taken already.
    bool take(std::uint32_t most) { return add_below(taken_, most); }
    // Whatever the cap: of what is under way already.
    void take_anyway() { taken_.fetch_add(1); }
    void give_back() { taken_.fetch_sub(1); }
    std::uint32_t taken() const { return taken_; }

    // A line is a worker's, which alone calls these; the count of all is bounded. False where that
    // many wait already.
    bool join(std::uint32_t most) { return add_below(waiting_, most); }
    void join_anyway() { waiting_.fetch_add(1); }
    void leave() { waiting_.fetch_sub(1); }
    std::uint32_t waiting() const { return waiting_; }
    // So many of each priority are in its line, and since when the first of them all waits; 0:
    // nobody does.
    void tell(std::uint32_t worker, std::uint32_t normal, std::uint32_t low,
              std::int64_t since_ns) {
        Line& line = lines_[worker];
        line.waiting[0].store(normal);
        line.waiting[1].store(low);
        line.since_ns.store(since_ns);
    }
    std::uint32_t waiting(std::uint32_t worker, Priority priority) const {
        return lines_[worker].waiting[static_cast<std::size_t>(priority)];
    }
    // One of so many of low priority is to make room: whoever has it in its line refuses it. Asked
    // for in vain it is forgotten. False where as many are to go already.
    bool ask_to_drop(std::uint32_t low) { return add_below(to_drop_, low); }
    bool takes_drop() {
        std::uint32_t now = to_drop_.load();
        do {
            if (now == 0) return false;
        } while (!to_drop_.compare_exchange_weak(now, now - 1));
        return true;
    }
    void forget_drops() { to_drop_.store(0); }
    // Whose line is looked at first when a place is free: each in its turn.
    std::uint32_t next_turn() { return turn_.fetch_add(1, std::memory_order_relaxed) % kWorkers; }

    Load load(std::uint32_t in_flight_max, std::uint32_t waiting_max, std::int64_t now_ns) const {
        Load load{.in_flight = taken(), .in_flight_max = in_flight_max, .waiting_max = waiting_max};
        if (waiting() == 0) return load;
        for (std::uint32_t worker = 0; worker < kWorkers; ++worker) {
            load.waiting_normal += waiting(worker, Priority::Normal);
            load.waiting_low += waiting(worker, Priority::Low);
            const std::int64_t since_ns = lines_[worker].since_ns;
            if (since_ns != 0)
                load.longest_wait_ns = std::max(load.longest_wait_ns, now_ns - since_ns);
        }
        return load;
    }

private:
    static bool add_below(std::atomic<std::uint32_t>& count, std::uint32_t most) {
        std::uint32_t now = count.load();
        do {
            if (now >= most) return false;
        } while (!count.compare_exchange_weak(now, now + 1));
        return true;
    }

    struct Line {
        std::atomic<std::uint32_t> waiting[2] = {};
        std::atomic<std::int64_t> since_ns{0};
    };
    std::atomic<std::uint32_t> taken_{0};
    std::atomic<std::uint32_t> waiting_{0};
    std::atomic<std::uint32_t> turn_{0};
    std::atomic<std::uint32_t> to_drop_{0};
    Line lines_[kWorkers];
};

}  // namespace thole::edge
