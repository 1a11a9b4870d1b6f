// Lets requests in to their service: at once as long as it has a place, in their turn after that,
// or not at all (admission.h decides, places.h counts). The worker's own. Who has a place keeps it
// until the last byte of its answer, over further attempts and their pauses; what lasts (a tunnel,
// a stream of events) gives it back once it has begun. Who waits for an instance has none.
#pragma once

#include <cstdint>
#include <vector>

#include "edge/places.h"
#include "edge/runtime.h"

namespace thole::edge {

class Worker;

class Entrance {
public:
    explicit Entrance(Worker& worker);

    // The request is Ready: true where it may not go to an instance now. It pauses between two
    // attempts, waits in line, or was refused.
    bool keeps(std::uint32_t fd);
    // It is attached: its upstream carries the place. Adopted: it has one whatever the cap.
    void carry(std::uint32_t fd, std::uint32_t upstream);
    void adopt(std::uint32_t fd, std::uint32_t upstream);
    // It is to be tried again: the place stays its own, and counts as in flight during the pause.
    void keep(std::uint32_t fd, std::uint32_t upstream);
    // An upstream that carries nothing any more, or what lasts.
    void give_back(Socket& upstream);
    // Wherever it is: in line, or with a place. Its request has ended or waits for an instance.
    void leave(std::uint32_t fd);

    // Now and then: who waits in line for too long is refused.
    void look_at(std::uint32_t fd);
    // Places may be free: another worker says so, or the cap has grown.
    void serve_all();
    // The routes have changed.
    void look_at_all();

private:
    // Those of one service and priority that wait at this worker, linked by Socket::older and
    // newer.
    struct Line {
        std::uint32_t oldest = kNone;
        std::uint32_t newest = kNone;
        std::uint32_t count = 0;
    };
    struct Lines {
        Line of[2];  // By priority.
        bool is_listed = false;
    };

    ServiceAt route_anew(std::uint32_t fd);
    Load load_of(std::uint32_t place) const;
    enum class Join : std::uint8_t { IfThereIsRoom, Anyway };
    bool enters(std::uint32_t fd, std::uint32_t place);
    bool makes_room(std::uint32_t place, Entry entry, std::uint32_t low);
    void go_to(std::uint32_t fd, const ServiceAt& service);
    bool queue(std::uint32_t fd, std::uint32_t place, Join how);
    enum class Wait : std::uint8_t { Full, TooLong };  // Why it waits no longer.
    void refuse(std::uint32_t fd, Wait wait);
    void take_out(std::uint32_t fd);
    void tell(std::uint32_t place);
    void serve(std::uint32_t place);
    void call(std::uint32_t place);
    void call_worker(std::uint32_t number);
    void end_pause(Socket& client);

    Worker& worker_;
    std::vector<Lines> lines_;           // By the place of their service.
    std::vector<std::uint32_t> waited_;  // Those in whose lines somebody may be.
};

}  // namespace thole::edge
