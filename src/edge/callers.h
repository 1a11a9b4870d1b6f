// Asks the kernel who holds the other end of a connection on this machine (sock_diag(7)): its uid.
// One question and one answer, some microseconds. One worker's.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <optional>

#include "os/fd.h"

namespace thole::edge {

enum class OtherEnd : std::uint8_t {
    Open,
    Closed,   // Nobody has it open any more.
    Unknown,  // It is not on this machine, or the kernel does not say.
};

class Callers {
public:
    Callers();
    // The uid of whoever has this connection's other end open. Nothing where that is gone already,
    // or the kernel does not say.
    std::optional<std::uint32_t> uid_of(const sockaddr_in& peer, const sockaddr_in& local);
    OtherEnd other_end(const sockaddr_in& peer, const sockaddr_in& local);
    int descriptor() const { return netlink_.get(); }

private:
    // Nothing where there is no such socket here.
    struct Said {
        bool is_here = false;
        bool is_known = false;  // That there is none, too.
        std::uint32_t uid = 0;
        std::uint32_t inode = 0;  // 0: closed by its owner already.
    };
    Said ask(const sockaddr_in& peer, const sockaddr_in& local);

    os::FileDescriptor netlink_;
};

}  // namespace thole::edge
