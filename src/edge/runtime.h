// What one edge process knows besides the segment: its workers, and of each socket what the kernel
// can tell again. Nothing here outlives the process.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "edge/clock.h"
#include "edge/segment.h"

namespace thole::edge {

// Private state of one descriptor; owned by the worker that owns the connection.
struct Socket {
    std::uint64_t in = 0;         // Bytes read by us.
    std::uint64_t out = 0;        // Bytes written by us.
    std::uint32_t other = kNone;  // Upstream: its client.
    std::int64_t since_ns = 0;    // When it last moved, for the time limits.
    bool is_open = false;
    bool can_read = false;
    bool may_end = false;  // The kernel has told of an end: it is read even after a short read.
    bool can_write = false;
    bool is_connecting = false;
    bool has_ended = false;  // The peer sends no more, and all it sent was read.
    bool is_broken = false;
    bool was_reused = false;  // Upstream: idle before this exchange.
};

class Worker;

struct Runtime {
    explicit Runtime(Segment& memory);
    ~Runtime();

    Segment& segment;
    // Grows with each change of the endpoint table that stands in the segment: workers may apply
    // it.
    std::atomic<std::uint64_t> table_sequence{1};
    std::vector<Socket> sockets{kDescriptorsMax};
    std::vector<std::unique_ptr<Worker>> workers;

    Record& record(std::uint32_t fd) { return segment.records[fd]; }
    Socket& socket(std::uint32_t fd) { return sockets[fd]; }
};

// Of the socket, 0 where it is none.
std::uint64_t cookie_of(int fd);
// Fills the record of a descriptor and makes it count.
void open_record(Record& record, int fd, Kind kind, wire::SlotRef endpoint);

}  // namespace thole::edge
