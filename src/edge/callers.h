// Asks the kernel who holds the other end of a connection on this machine (sock_diag(7)): its uid.
// One question and one answer, some microseconds. One worker's.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <optional>

#include "os/fd.h"

namespace thole::edge {

class Callers {
public:
    Callers();
    // The uid of whoever has this connection's other end open. Nothing where that is gone already,
    // or the kernel does not say.
    std::optional<std::uint32_t> uid_of(const sockaddr_in& peer, const sockaddr_in& local);
    int descriptor() const { return netlink_.get(); }

private:
    os::FileDescriptor netlink_;
};

}  // namespace thole::edge
