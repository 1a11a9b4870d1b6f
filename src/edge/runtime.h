// What one edge process knows besides the segment: its workers, and of each socket what the kernel
// can tell again. Nothing here outlives the process.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "edge/answers.h"
#include "edge/clock.h"
#include "edge/loops.h"
#include "edge/places.h"
#include "edge/pressure.h"
#include "edge/segment.h"
#include "edge/socket.h"

namespace thole::edge {

// A tunnel whose instance ended its side first: was it the instance's own end?
struct EndedTunnel {
    std::int64_t at_ns = 0;  // 0: nothing.
    Exchange exchange;
    char line[72];  // The request's first, cut to fit.
};

class Worker;

struct Runtime {
    // Of blocks it uses no more than there is room for.
    // `system` as OwnVia has it.
    explicit Runtime(Segment& memory, Room room = room_in({}), std::string_view system = {});
    ~Runtime();

    Segment& segment;
    // Grows with each change that stands in the segment: workers may apply it.
    std::atomic<std::uint64_t> table_sequence{1};
    // Whose connections are to be closed with this change; slot kNone is nobody's. Main writes it
    // only while every worker has applied what was before.
    wire::SlotRef cut{kNone, 0};
    // The same: whose long-lived ones are to be ended, and within which time.
    wire::DrainRequest drain{0, {kNone, 0}, 0};
    // What control asks just now; digits 0 is nothing. Written as `cut` is.
    wire::WhyRequest asked{};
    // 1: workers wait before their next turn, and count themselves.
    std::atomic<std::uint32_t> is_parking{0};
    std::atomic<std::uint32_t> parked{0};
    Room room;
    OwnVia own_via;
    // As many as connections and listeners may have; and those of connections, of both sides.
    std::uint32_t descriptors;
    std::atomic<std::uint32_t> open{0};
    Socket* sockets;  // kDescriptorsMax of them, in memory that is not there before one is used.
    std::vector<std::unique_ptr<Worker>> workers;
    std::array<Held, kServicesMax> held;
    std::array<Places, kServicesMax> places;
    std::array<std::atomic<bool>, kWorkers> is_called{};  // Of each worker: a place may be free.
    std::array<Shortage, kWorkers> shortages;             // Each of one worker.
    // Of each worker: a place for bytes that wrap in their ring and are wanted as one piece.
    char wrapped[kWorkers][kRingBytes];
    char fault_stacks[kWorkers][64 * 1024];  // On which each handles its own fault.
    // Clients of each worker, with those that are handed to it just now.
    std::array<std::atomic<std::uint32_t>, kWorkers> clients{};

    // The last thing a worker does with a descriptor, and the first with one that the kernel gave:
    // the number may have been another worker's. The kernel's table of descriptors orders the two,
    // which the thread sanitizer has to be told.
    void close_number(std::uint32_t fd);
    void take_number(std::uint32_t fd);

    Fill descriptors_fill() const { return {open + segment.listener_count, descriptors}; }
    Record& record(std::uint32_t fd) { return segment.records[fd]; }
    // Of a client that has one.
    ExchangeAt exchange(std::uint32_t fd) { return exchange_of(segment, fd); }
    Socket& socket(std::uint32_t fd) { return sockets[fd]; }
};

// Who a client is, in network order. Asked of the kernel once a connection and edge.
std::uint32_t peer_of(int fd, Socket& client);
// Of the socket, 0 where it is none.
std::uint64_t cookie_of(int fd);
// What its close will be to the peer, whoever closes it: the kernel, too, after our death.
enum class Closing { End, Reset };
void set_closing(int fd, Closing how);
// Fills the record of an upstream, or of a client, and makes it count.
void open_upstream(Record& record, int fd, wire::SlotRef endpoint);
void open_client(Record& record, int fd, std::uint32_t listener, std::uint32_t listener_place);
// The rewritten head of the exchange's request, or nothing.
std::string_view request_head_of(const Segment& segment, const Exchange& exchange);

}  // namespace thole::edge
