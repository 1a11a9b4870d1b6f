// Talking to other processes: streams (TCP on IPv4, unix sockets) and links (whole frames over
// SOCK_SEQPACKET).
//
// A stream or link is owned by whoever made it; destroying it closes it and no callback follows.
// Callbacks are set once, before the loop turns again. After `closed` nothing more comes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace thole::env {

// The largest frame a link carries.
constexpr std::size_t kDatagramBytesMax = 128 * 1024;

struct Address {
    std::uint32_t ip = 0x7f000001;  // Host byte order.
    std::uint16_t port = 0;
    bool operator==(const Address&) const = default;
};

// Who is at the other end of a unix socket, as the kernel says; pid 0 where it does not.
struct Peer {
    std::uint32_t pid = 0;
    std::uint32_t uid = ~std::uint32_t{0};
};

struct StreamEvents {
    std::function<void()> connected = nullptr;                 // Connecting streams only.
    std::function<void(std::string_view)> received = nullptr;  // Valid during the call.
    std::function<void()> ended = nullptr;    // The peer will send no more; writing still works.
    std::function<void()> drained = nullptr;  // All that was written has left.
    std::function<void(const Error&)> closed =
        nullptr;  // Both directions are over, or connecting did not succeed.
};

class Stream {
public:
    virtual ~Stream() = default;
    virtual void set_events(StreamEvents events) = 0;
    // Buffers what the kernel does not take; see unsent_bytes(). Nothing after the end.
    virtual void write(std::string_view bytes) = 0;
    // No more writing; what is buffered still goes.
    virtual void end() = 0;
    virtual void pause() = 0;
    virtual void resume() = 0;
    virtual std::size_t unsent_bytes() const = 0;
    virtual Peer peer() const = 0;
};

struct LinkEvents {
    std::function<void(std::string_view)> received = nullptr;  // One whole datagram.
    std::function<void(const Error&)> closed = nullptr;
};

class Link {
public:
    virtual ~Link() = default;
    virtual void set_events(LinkEvents events) = 0;
    // In order, whole; closes the link where more than 64 MiB wait.
    virtual void send(std::string frame) = 0;
    virtual Peer peer() const = 0;
};

// Stops listening when destroyed.
class Listening {
public:
    virtual ~Listening() = default;
    virtual Address address() const = 0;
};

// Of a port. Ends when destroyed, and with its process.
class PortClaim {
public:
    virtual ~PortClaim() = default;
};

using Accept = std::function<void(std::unique_ptr<Stream>)>;

class Network {
public:
    virtual ~Network() = default;
    virtual Result<std::unique_ptr<Listening>> listen(Address address, Accept accept) = 0;
    // Conflict where somebody else on this machine has claimed it. Whoever looks whether a port is
    // free, for a process that binds it later, claims it first: another system may be looking, too.
    virtual Result<std::unique_ptr<PortClaim>> claim_port(std::uint16_t port) = 0;
    // On an inherited listening stream socket (os: a descriptor number).
    virtual Result<std::unique_ptr<Listening>> listen_inherited(int number, Accept accept) = 0;
    virtual Result<std::unique_ptr<Listening>> listen_unix(const std::string& path,
                                                           Accept accept) = 0;
    virtual std::unique_ptr<Stream> connect(Address address) = 0;
    virtual std::unique_ptr<Stream> connect_unix(const std::string& path) = 0;
    // A SOCK_SEQPACKET socket at this path; where there is none, `closed` comes.
    virtual std::unique_ptr<Link> connect_link(const std::string& path) = 0;
};

}  // namespace thole::env
