// One end of the socket pair between an edge and the one that is to take its place
// (wire/hand_over.h). Blocking, each call with a limit in time, on CLOCK_BOOTTIME.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/fd.h"
#include "wire/frame.h"
#include "wire/hand_over.h"

namespace thole::edge {

class HandOverLink {
public:
    HandOverLink() = default;
    explicit HandOverLink(os::FileDescriptor socket) : socket_(std::move(socket)) {}

    bool is_open() const { return socket_.is_open(); }
    int descriptor() const { return socket_.get(); }
    void close() { socket_.reset(-1); }

    // Waits for room, and where too many descriptors are in flight for this user.
    Status send(wire::HandOverMessage type, std::string_view body, std::span<const int> descriptors,
                std::int64_t deadline_ns);
    // The next message, which has to be of this type, with what came with it. The body lies in a
    // buffer that the next call overwrites.
    Result<std::string_view> receive(wire::HandOverMessage type, std::int64_t deadline_ns,
                                     std::vector<os::FileDescriptor>& descriptors);
    // The same, whatever its type.
    Result<wire::Frame> receive_any(std::int64_t deadline_ns,
                                    std::vector<os::FileDescriptor>& descriptors);
    template <typename Message>
    Status send(wire::HandOverMessage type, const Message& message,
                std::span<const int> descriptors, std::int64_t deadline_ns) {
        const std::string_view body(reinterpret_cast<const char*>(&message), sizeof(message));
        return send(type, body, descriptors, deadline_ns);
    }

private:
    os::FileDescriptor socket_;
};

}  // namespace thole::edge
