// Takes what is worth keeping out of the black boxes and has it written to access.log by a thread
// of its own, for which nobody waits: where the disk is full or hangs, records are dropped and
// counted, those of requests that went well first.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "edge/access_file.h"
#include "edge/segment.h"
#include "os/fd.h"

namespace thole::edge {

constexpr std::size_t kAccessBatch = 1024;

class AccessLog {
public:
    AccessLog(Segment& segment, const std::string& folder);
    AccessLog(const AccessLog&) = delete;
    // It must not end before the process does.
    void start();
    // Main's, in each turn.
    void turn();
    // Readable once something is written.
    int descriptor() const { return done_.get(); }
    std::vector<int> descriptors() const { return {asked_.get(), done_.get()}; }

private:
    void run();
    void take(std::uint32_t worker);
    void keep(const wire::RequestRecord& record, Worth worth);
    void drop(std::uint64_t count);
    void settle();
    void hand_over();

    Segment& segment_;
    os::FileDescriptor asked_, done_;
    std::array<std::uint64_t, kWorkers> seen_{};  // Of each box.
    std::vector<wire::RequestRecord> next_;       // To be written; main's.
    bool is_busy_ = false;
    // Whoever has the turn owns these: main until it asks, the thread until it is done.
    std::vector<wire::RequestRecord> batch_;
    std::array<std::uint64_t, kWorkers> settled_{};  // Seen of each box once this batch was full.
    std::uint64_t dropped_ = 0;
    std::size_t written_ = 0;
    AccessFile file_;
};

}  // namespace thole::edge
