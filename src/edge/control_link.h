// The edge's main thread: listens for control, applies what it says to the segment, waits until
// every worker has applied it, and only then acknowledges. One control at a time; a new one takes
// the old one's place.
#pragma once

#include <optional>
#include <string>

#include "edge/keeper_link.h"
#include "edge/runtime.h"
#include "os/fd.h"
#include "wire/edge.h"
#include "wire/slots.h"
#include "wire/snapshot.h"

namespace thole::edge {

class ControlLink {
public:
    struct Folders {
        std::string run;
        std::string data;
    };
    // `ticks` may be null (no keeper is watching).
    ControlLink(Runtime& runtime, Folders folders, wire::TicksPage* ticks, std::uint32_t holder_pid)
        : runtime_(runtime), folders_(std::move(folders)), ticks_(ticks), holder_pid_(holder_pid) {}
    [[noreturn]] void run();
    // Activates the last snapshot on disk, where there is one: so that an edge serves with control
    // dead.
    void activate_last();

private:
    void announce();
    void accept();
    void receive();
    void obey(std::string_view datagram);
    void activate(const wire::SnapshotRequest& request);
    Status load(std::uint64_t version);
    void change_endpoints(std::string_view body);
    void wait_for_workers();
    void acknowledge(std::uint64_t sequence);
    template <typename Message>
    void send(wire::EdgeMessage type, const Message& message);
    void send_frame(const std::string& frame);
    void drop();

    Runtime& runtime_;
    Folders folders_;
    wire::TicksPage* ticks_;
    std::uint32_t holder_pid_;
    bool is_announced_ = false;
    std::optional<KeeperLink> keeper_;
    os::FileDescriptor link_;
    std::uint64_t sequence_ = 0;
};

}  // namespace thole::edge
