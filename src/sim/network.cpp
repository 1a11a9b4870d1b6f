#include "sim/network.h"

#include <cerrno>

#include "sim/link.h"
#include "sim/stream.h"

namespace thole::sim {
namespace {

// As long as a unix socket's path may be, with the zero behind it.
constexpr std::size_t kPathBytesMax = 108;

class SimListening final : public env::Listening {
public:
    SimListening(Wires& wires, PortPointer port)
        : wires_(wires), port_(std::move(port)), id_(port_->listening_id) {}
    ~SimListening() override { wires_.stop(port_, id_); }
    env::Address address() const override { return port_->address; }

private:
    Wires& wires_;
    PortPointer port_;
    std::uint64_t id_;
};

Result<std::unique_ptr<env::Listening>> make_listening(Wires& wires, PortPointer port) {
    return std::unique_ptr<env::Listening>(std::make_unique<SimListening>(wires, std::move(port)));
}

Error process_has_ended() { return unavailable("the process has ended"); }

Status check_path(const std::string& path) {
    if (path.size() >= kPathBytesMax) return invalid("the path of a socket is too long: " + path);
    return success();
}

class SimPortClaim final : public env::PortClaim {};

}  // namespace

// One system has the whole machine: nobody else claims anything.
Result<std::unique_ptr<env::PortClaim>> SimNetwork::claim_port(std::uint16_t /*port*/) {
    if (!life_->is_alive) return process_has_ended();
    return std::unique_ptr<env::PortClaim>(std::make_unique<SimPortClaim>());
}

Wires::Listener SimNetwork::listener(Shape shape, env::Accept accept) const {
    return {shape, life_, [accept = std::move(accept)](const std::shared_ptr<Endpoint>& end) {
                accept(make_stream(std::static_pointer_cast<StreamEnd>(end)));
            }};
}

Result<std::unique_ptr<env::Listening>> SimNetwork::listen(env::Address address,
                                                           env::Accept accept) {
    if (!life_->is_alive) return process_has_ended();
    PortPointer port = TRY(wires_.listen(address, listener(Shape::Tcp, std::move(accept))));
    return make_listening(wires_, std::move(port));
}

Result<std::unique_ptr<env::Listening>> SimNetwork::listen_inherited(int number,
                                                                     env::Accept accept) {
    if (!life_->is_alive) return process_has_ended();
    const auto found = inherited_.find(number);
    if (found == inherited_.end())
        return invalid("descriptor " + std::to_string(number) + " is no listening socket");
    const Shape shape = found->second.front() == '/' ? Shape::Unix : Shape::Tcp;
    PortPointer port = TRY(wires_.take_over(found->second, listener(shape, std::move(accept))));
    return make_listening(wires_, std::move(port));
}

Result<std::unique_ptr<env::Listening>> SimNetwork::listen_unix(const std::string& path,
                                                                env::Accept accept) {
    if (!life_->is_alive) return process_has_ended();
    TRY(check_path(path));
    return make_listening(wires_, wires_.listen(path, listener(Shape::Unix, std::move(accept))));
}

Result<std::unique_ptr<env::Listening>> SimNetwork::listen_link(const std::string& path,
                                                                AcceptLink accept) {
    if (!life_->is_alive) return process_has_ended();
    TRY(check_path(path));
    const auto take = [accept = std::move(accept)](const std::shared_ptr<Endpoint>& end) {
        accept(make_link(std::static_pointer_cast<LinkEnd>(end)));
    };
    return make_listening(wires_, wires_.listen(path, {Shape::Link, life_, take}));
}

std::unique_ptr<env::Stream> SimNetwork::connect(env::Address address) {
    return make_stream(std::static_pointer_cast<StreamEnd>(wires_.connect(address, life_)));
}

std::unique_ptr<env::Stream> SimNetwork::connect_unix(const std::string& path) {
    return make_stream(
        std::static_pointer_cast<StreamEnd>(wires_.connect(path, Shape::Unix, life_)));
}

std::unique_ptr<env::Link> SimNetwork::connect_link(const std::string& path) {
    return make_link(std::static_pointer_cast<LinkEnd>(wires_.connect(path, Shape::Link, life_)));
}

}  // namespace thole::sim
