// What a worker does to requests that a fault on purpose hurts (leases.h), and when it has to look
// at them again. The worker's own. A request without a fault costs one load, its bytes one flag.
#pragma once

#include <cstdint>

#include "edge/leases.h"
#include "edge/segment.h"

namespace thole::edge {

class Worker;

class Faulty {
public:
    explicit Faulty(Worker& worker);

    // The head was read and the exchange is Ready: which fault hurts it, if any. Committed, so that
    // whoever carries it on does the same to it, and nothing more.
    void choose(std::uint32_t fd, const http::RequestHead& head);
    // It is to go to the instance in this slot. True where a fault that is aimed there keeps it
    // from that: then it waits, and goes to that one after it.
    bool meets(std::uint32_t fd, std::uint32_t slot);
    // Where its fault has sent it, while that one serves; else kNone.
    std::uint32_t sent_to(const Exchange& exchange) const;
    // A partition holds all of it as it is: nothing is read, written or ended.
    bool is_cut_off(std::uint32_t fd);
    // One that is cut off ends where its time is over.
    void sweep_cut_off(std::uint32_t fd);
    // True where it may not go to an instance now: it waits, or has ended by its fault.
    bool keeps(std::uint32_t fd);
    // Of the input from `at` up to `limit`: up to where it may be passed on now.
    std::uint64_t pace(std::uint32_t from, std::uint32_t to, std::uint64_t at, std::uint64_t limit);

    // Somebody's fault may have begun, or be over: all are looked at.
    void wake_all();

private:
    void begin(std::uint32_t fd, std::uint32_t place, std::uint32_t slot);
    void cut_off(std::uint32_t fd);
    void look_again(std::uint32_t client, std::int64_t at_ns);
    void count_matched(std::uint64_t places);
    bool carry_out(std::uint32_t fd, const LeaseEntry& lease);
    void let_go(std::uint32_t fd);

    Worker& worker_;
    Leases& leases_;
};

}  // namespace thole::edge
