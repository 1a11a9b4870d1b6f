// Whoever writes the counts of counters.h: one a worker.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "edge/counters.h"

namespace thole::edge {

// How an attempt went.
enum class Try : std::uint8_t { Good, Failed, Late };

// The writer's side.
class Counting {
public:
    explicit Counting(WorkerCounters& memory) : memory_(memory) {}

    void attached(wire::SlotRef at);
    void tried(wire::SlotRef at, Try how);
    void released(wire::SlotRef at);
    // It was counted as ended well, and now its instance is known to have died in that moment.
    void broke_after_all(const Exchange& exchange, const End& how);
    // How long a request waited more than it had to.
    void waited(std::int64_t added_ns);
    void held();
    // The shares gave it to a release that is out.
    void diverted();

    // The exchange has ended for its client; counted once, by a commit that changes it as given.
    template <typename Change>
    void end(const ExchangeAt& at, std::uint32_t fd, const End& how, Change change) {
        if ((current(at).flags & kCounted) != 0) return commit(at, change);
        prepare_end(at, fd, how);
        commit(at, [&](Exchange& next) {
            next.flags |= kCounted;
            change(next);
        });
        apply();
    }
    // The same, and the client's next request begins.
    void end_whole(const ExchangeAt& at, std::uint32_t fd, const End& how);
    // The attempt has ended, the request goes elsewhere.
    template <typename Change>
    void replay(const ExchangeAt& at, std::uint32_t fd, Change change) {
        prepare_replay(at, fd);
        commit(at, change);
        apply();
    }

    // After a death: does what stands in Redo and counts.
    void recover(std::span<const Record> records);
    // Before adoption counts what is in flight.
    void forget_in_flight(std::uint32_t slot);

private:
    friend class Faulty;
    EndpointCounters* find(wire::SlotRef at);
    std::uint32_t route_of(const Exchange& exchange, std::int64_t now_ns);
    void take_route(std::uint32_t place, const Exchange& exchange);
    void mark_used(std::uint32_t place);
    void begin(const Record& record, std::uint32_t fd);
    void store_later(std::atomic<std::uint64_t>& counter, std::uint64_t value);
    void ready();
    void prepare_end(const ExchangeAt& at, std::uint32_t fd, const End& how);
    void count_troubles(RouteCounters& route, const wire::RequestRecord& ended);
    void prepare_replay(const ExchangeAt& at, std::uint32_t fd);
    void keep_broken(const Exchange& exchange, const End& how);
    void apply();

    WorkerCounters& memory_;
    std::uint32_t count_ = 0;
};

// The outcome that a status of the instance's makes.
wire::Outcome outcome_of(std::uint32_t status);

}  // namespace thole::edge
