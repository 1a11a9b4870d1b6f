// What the edge asks of keeper: the listeners it parked, and the segment of the edge before.
// Blocking, on the main thread, with a limit in time.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "os/fd.h"
#include "wire/frame.h"
#include "wire/keeper.h"

namespace thole::edge {

class KeeperLink {
public:
    static Result<KeeperLink> connect(const std::string& run_folder);
    // Not found where keeper has parked none.
    Result<os::FileDescriptor> take_segment();
    Status park_segment(int fd);
    // Says that this process is about to carry the traffic, and waits until keeper knows: it would
    // start another edge, if both this one and the one before were dead.
    Status stand_by_as_edge(std::uint32_t holder_pid);
    // Says that this process carries the traffic now.
    Status serve_as_edge(std::uint32_t holder_pid);
    Result<os::FileDescriptor> take_listener(std::uint32_t id);
    // The ids that keeper says it has parked. Only as the first question on a link.
    Result<std::vector<std::uint32_t>> parked_listeners();
    Status park_listener(std::uint32_t id, int fd);
    // Reads away what keeper tells everybody; false where keeper has gone.
    bool skip_news();
    // At its other end is an edge that is to take our place; once. Closed: there is none.
    os::FileDescriptor take_successor() { return std::move(successor_); }
    // It took another one for its edge when we said that we are: to be said again.
    bool is_refused() const { return is_refused_; }
    // To a number that is in nobody's way.
    void move_away();
    int descriptor() const { return socket_.get(); }

private:
    explicit KeeperLink(os::FileDescriptor socket) : socket_(std::move(socket)) {}
    Status send(wire::KeeperMessage type, std::string_view body, int descriptor);
    enum class Got { Frame, Nothing, Closed };
    Got receive(wire::Frame& frame, os::FileDescriptor& handed);
    Result<wire::Frame> wait_for_frame(std::int64_t deadline_ns, os::FileDescriptor& handed);
    Result<os::FileDescriptor> wait_for_handed(wire::KeeperMessage request);

    os::FileDescriptor socket_;
    os::FileDescriptor successor_;
    bool is_refused_ = false;
};

}  // namespace thole::edge
