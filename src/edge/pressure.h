// What goes first where room is short: of descriptors, and of the buffers in which bytes lie on
// their way. Pure; these functions allocate nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace thole::edge {

struct Fill {
    std::uint32_t used = 0;
    std::uint32_t total = 0;
};

inline bool is_full(Fill fill) { return fill.used >= fill.total; }
bool is_over(Fill fill, std::uint32_t percent);
// So many have to go until no more than this is used.
std::uint32_t above(Fill fill, std::uint32_t percent);

// An answered client would be the next to be closed: it is told that its connection ends.
bool ends_keep_alive(Fill descriptors, Fill rings);

// A client that may be closed although it did nothing wrong.
struct Sheddable {
    enum class Rank : std::uint32_t { Idle, HalfHead };

    std::uint32_t fd = 0;
    std::uint32_t address = 0;
    std::int64_t since_ns = 0;
    Rank rank = Rank::Idle;
};

// Puts those that are to go at the front, `wanted` of them at most, and says how many. They are of
// the addresses that have the most, down to one number for all; of each address the idle first, and
// the oldest first. So whoever opens thousands makes room for the others, and behind a proxy, which
// is one address, those go that were quiet longest.
std::size_t choose_to_shed(std::span<Sheddable> candidates, std::size_t wanted);

// Who holds buffers for an exchange under way.
struct Stream {
    std::uint32_t fd = 0;
    std::uint32_t bytes = 0;    // That wait in them.
    std::int64_t since_ns = 0;  // When it last moved.
};

// Puts the `wanted` largest at the front; of equal ones those that have not moved for longest.
std::size_t largest(std::span<Stream> streams, std::size_t wanted);

// A worker's, for where room is short.
struct Shortage {
    bool is_accepting = true;
    std::vector<Sheddable> sheddable;
    std::vector<Stream> streams;
};

// How many blocks the edge may use.
struct Room {
    std::uint32_t rings = 0;
    std::uint32_t heads = 0;
};

// All there are; where memory is limited (bytes), only as many as fit into it each used as a whole.
Room room_in(std::optional<std::uint64_t> memory_limit);

}  // namespace thole::edge
