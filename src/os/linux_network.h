// env::Network on Linux: non-blocking sockets on the loop. Reads at most 64 KiB a turn and stream,
// so that one busy peer cannot starve the others.
#pragma once

#include "env/network.h"
#include "os/loop.h"

namespace thole::os {

class LinuxNetwork final : public env::Network {
public:
    explicit LinuxNetwork(Loop& loop) : loop_(loop) {}

    Result<std::unique_ptr<env::Listening>> listen(env::Address address,
                                                   env::Accept accept) override;
    // An abstract unix socket, which whole network namespaces share as they share ports.
    Result<std::unique_ptr<env::PortClaim>> claim_port(std::uint16_t port) override;
    Result<std::unique_ptr<env::Listening>> listen_inherited(int number,
                                                             env::Accept accept) override;
    // Mode 0600; replaces a socket file that is there.
    Result<std::unique_ptr<env::Listening>> listen_unix(const std::string& path,
                                                        env::Accept accept) override;
    std::unique_ptr<env::Stream> connect(env::Address address) override;
    std::unique_ptr<env::Stream> connect_unix(const std::string& path) override;
    std::unique_ptr<env::Link> connect_link(const std::string& path) override;

private:
    Loop& loop_;
};

}  // namespace thole::os
