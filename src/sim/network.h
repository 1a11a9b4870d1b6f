// env::Network of one process. Beside what env offers it listens for links, as keeper and edge do.
#pragma once

#include <map>

#include "env/network.h"
#include "sim/wires.h"

namespace thole::sim {

using AcceptLink = std::function<void(std::unique_ptr<env::Link>)>;

class SimNetwork final : public env::Network {
public:
    SimNetwork(Wires& wires, LifePointer life) : wires_(wires), life_(std::move(life)) {}

    Result<std::unique_ptr<env::Listening>> listen(env::Address address,
                                                   env::Accept accept) override;
    Result<std::unique_ptr<env::PortClaim>> claim_port(std::uint16_t port) override;
    Result<std::unique_ptr<env::Listening>> listen_inherited(int number,
                                                             env::Accept accept) override;
    Result<std::unique_ptr<env::Listening>> listen_unix(const std::string& path,
                                                        env::Accept accept) override;
    std::unique_ptr<env::Stream> connect(env::Address address) override;
    std::unique_ptr<env::Stream> connect_unix(const std::string& path) override;
    std::unique_ptr<env::Link> connect_link(const std::string& path) override;
    Result<std::unique_ptr<env::Listening>> listen_link(const std::string& path, AcceptLink accept);

    // The descriptor of this number is the parked socket of that place.
    void inherit(int number, const std::string& place) { inherited_[number] = place; }

private:
    Wires::Listener listener(Shape shape, env::Accept accept) const;

    Wires& wires_;
    LifePointer life_;
    std::map<int, std::string> inherited_;
};

}  // namespace thole::sim
