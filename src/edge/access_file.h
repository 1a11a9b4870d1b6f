// access.log in the edge's folder: one line of JSON for each request that is to be kept. At most
// two files of a bounded size; the older one is access.log.1. Makes system calls only, takes no
// lock and allocates nothing: it belongs to a thread in whose midst a holder may be cloned.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "wire/request.h"

namespace thole::edge {

// Of one line; what is longest is the target.
constexpr std::size_t kAccessLineBytes = 2048;

// How much a request is worth keeping. All hops of one id have the same luck.
enum class Worth : std::uint8_t { None, Sample, Always };
Worth worth_of(const wire::RequestRecord& record);

// With its line end; the number of bytes. `wall_ns`: of the real time clock, at boot. What follows
// the target's question mark is left out: it may be a secret, and this is a disk.
std::size_t write_line(const wire::RequestRecord& record, std::int64_t wall_ns,
                       std::span<char, kAccessLineBytes> to);

class AccessFile {
public:
    explicit AccessFile(const std::string& folder);
    AccessFile(const AccessFile&) = delete;

    // So many of them are in the file: those that are always kept come first. What fits only in
    // part is taken back. `dropped_ever` is told in the file where it has grown.
    std::size_t append(std::span<const wire::RequestRecord> records, std::uint64_t dropped_ever);

private:
    bool open();
    bool mend_last_line();
    void close();
    bool rotate();
    bool add(std::string_view line);
    bool write_out();
    bool tell_dropped(std::uint64_t dropped_ever);

    std::string path_, older_;
    int fd_ = -1;             // Open within append() alone.
    std::uint64_t size_ = 0;  // With what is written.
    std::uint64_t dropped_told_ = 0;
    bool has_begun_ = false;
    std::size_t lines_ = 0;  // Written by this append().
    std::size_t used_ = 0;   // Of the text.
    char text_[64 * 1024];
};

}  // namespace thole::edge
