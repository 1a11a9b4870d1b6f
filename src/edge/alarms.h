// When clients are to be looked at again, to the millisecond: for what is too short for the sweep.
// One alarm a client is enough: whoever is woken sets the next one. Pure; one worker's.
#pragma once

#include <cstdint>
#include <vector>

namespace thole::edge {

class Alarms {
public:
    Alarms();

    // Wakes this descriptor at that time or before. `set_ns` is where it keeps its alarm, 0: none.
    void set(std::uint32_t fd, std::int64_t& set_ns, std::int64_t at_ns);
    bool is_empty() const { return heap_.empty(); }
    // So long nobody is woken, at most `most_ns`.
    std::int64_t quiet_ns(std::int64_t now_ns, std::int64_t most_ns) const;
    // The next one that is to be woken now: false where there is none.
    struct Alarm {
        std::int64_t at_ns;
        std::uint32_t fd;
    };
    bool take(std::int64_t now_ns, Alarm& alarm);

private:
    std::vector<Alarm> heap_;  // The first is the next.
};

}  // namespace thole::edge
