// The one thread of the edge that touches the disk while it serves: reads the file of a snapshot,
// and writes down which one is to be activated next time. A disk that is slow or hangs then delays
// a snapshot and nothing else. It makes system calls only, takes no lock and allocates nothing: a
// holder may be cloned at any instant. One thing at a time, asked and taken by main.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace thole::edge {

constexpr std::size_t kSnapshotBytesMax = 16 * 1024 * 1024;

class DiskThread {
public:
    // In the edge's folder. It must not end before the process does.
    explicit DiskThread(const std::string& folder);
    DiskThread(const DiskThread&) = delete;
    // Before the workers: who looks for these from outside takes the last threads.
    void start();

    // Only once what was asked before is done.
    void read_snapshot(std::uint64_t version);
    // Durable, where it is done without an error: an edge that starts from nothing begins with it.
    void name_current(std::uint64_t version);
    // Readable once it is done.
    int descriptor() const { return done_.get(); }
    // False while it is under way.
    bool take_done();
    // Of what was done last. The bytes of the file stay until the next is read.
    Status outcome() const;
    std::string_view bytes() const { return {memory_, size_}; }

    std::vector<int> descriptors() const { return {asked_.get(), done_.get()}; }

private:
    enum class Work { Read, Name };
    void ask(Work work, std::uint64_t version);
    void run();
    bool read();
    bool name();
    bool fail(const char* act);

    std::string folder_, current_, aside_;
    os::FileDescriptor asked_, done_;
    // Whoever has the turn owns these: main until it asks, the thread until it is done.
    Work work_ = Work::Read;
    char file_[4096];
    char number_[24];
    char* memory_ = nullptr;
    std::size_t size_ = 0;
    const char* act_ = nullptr;  // What failed, and why.
    int error_ = 0;
};

}  // namespace thole::edge
