// The process that shares our table of descriptors, has memory of its own, and becomes the edge
// when we die. Main's own.
#pragma once

#include <cstdint>
#include <functional>

#include "edge/runtime.h"
#include "os/fd.h"

namespace thole::edge {

// Clones one: its pid, 0 in the holder itself, negative with errno. The descriptor of the edge's
// own pid is opened before, by the caller. Only while no other thread holds a lock.
long clone_holder();
// Whose death a holder waits for, and on whose behalf (Segment::lineage).
struct Awaited {
    int edge_pidfd;
    std::uint32_t line;
};
// In the holder: returns once the edge has died and this process is to go on as the edge. Ends the
// process where the edge has ended for good, has faulted too often, or keeper has started another;
// and where its memory is damaged so that nobody could serve from it.
void wait_for_death(const Awaited& awaited, Segment& segment);

class Holder {
public:
    // `become_edge` is called in a holder that was cloned later, once the edge has died.
    Holder(std::uint32_t pid, const Awaited& awaited, std::function<void()> become_edge);
    std::uint32_t pid() const { return pid_; }
    // Readable once it has died.
    int descriptor() const { return pidfd_.get(); }
    const Awaited& awaited() const { return awaited_; }
    // It has died alone: clones another while every worker waits between two turns. False where one
    // of them did not come in time; then it is tried again later.
    bool replace(Runtime& runtime);

private:
    void watch(std::uint32_t pid);

    std::uint32_t pid_ = 0;
    Awaited awaited_;
    os::FileDescriptor pidfd_;
    std::function<void()> become_edge_;
};

}  // namespace thole::edge
