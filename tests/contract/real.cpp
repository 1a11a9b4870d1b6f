// The real edge, started by the real keeper in folders of its own, and real connections over
// loopback. Instances and clients live in the test, on its one loop.
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "os/linux_env.h"
#include "peers.h"
#include "processes.h"
#include "stand.h"
#include "wire/frame.h"
#include "wire/keeper.h"
#include "wire/slots.h"

namespace thole::contract {
namespace {

using namespace std::chrono_literals;
using wire::KeeperMessage;

constexpr Duration kStartLimit = 20s;
constexpr Duration kEndLimit = 5s;
constexpr Duration kTurn = 20ms;

class Real final : public Stand {
public:
    Real() : base_(make_folder()), linux_(loop_), clients_(linux_.env()) { begin(); }
    ~Real() override;

    env::Env& env() override { return linux_.env(); }
    // The last part of its path names the system's cgroup: no two may have the same.
    std::string run_folder() const override {
        return base_ + "/" + std::filesystem::path(base_).filename().string();
    }
    std::string data_folder() const override { return base_ + "/data"; }
    bool until(const std::function<bool()>& holds, Duration limit) override {
        const Time deadline = os::boot_now() + limit;
        while (!holds()) {
            if (os::boot_now() > deadline) return false;
            loop_.turn(kTurn);
        }
        return true;
    }

    std::uint16_t start(wire::SlotRef at) override {
        return instances_.emplace(key_of(at), std::make_unique<Instance>(env()))
            .first->second->port();
    }
    void kill(wire::SlotRef at) override { instances_.at(key_of(at))->die(); }
    const std::vector<Arrival>& arrivals(wire::SlotRef at) override {
        return instances_.at(key_of(at))->arrivals();
    }
    std::size_t ask(const Ask& ask) override { return clients_.ask(ask, port_); }
    int seen(std::size_t request) const override { return clients_.seen(request); }
    void answer(std::size_t request) override {
        for (const auto& [at, instance] : instances_) instance->answer(request);
    }

    void stop_worker(std::size_t worker) override {
        // Workers are started last, in their order.
        const std::vector<pid_t> threads = threads_of(static_cast<pid_t>(edge_));
        CHECK(threads.size() >= kWorkers);
        const pid_t thread = threads[threads.size() - kWorkers + worker];
        stopped_[worker] = std::make_unique<StoppedThread>(thread);
        if (!stopped_[worker]->is_stopped()) complaint_ += "a worker could not be stopped; ";
    }
    void continue_worker(std::size_t worker) override { stopped_.erase(worker); }
    void kill_edge() override { ::kill(static_cast<pid_t>(edge_), SIGKILL); }
    std::string complaint() const override;

private:
    using Key = std::pair<std::uint32_t, std::uint32_t>;
    static Key key_of(wire::SlotRef at) { return {at.slot, at.generation}; }
    void begin();
    void hear_keeper(std::string_view datagram);

    std::string base_;
    os::Loop loop_;
    os::LinuxEnv linux_;
    std::map<Key, std::unique_ptr<Instance>> instances_;
    Clients clients_;
    std::unique_ptr<env::Link> keeper_;
    bool has_keeper_ended_ = false;
    std::uint16_t port_ = 0;
    std::uint32_t edge_ = 0;  // Its pid.
    std::map<std::size_t, std::unique_ptr<StoppedThread>> stopped_;
    std::string complaint_;
};

void Real::begin() {
    const std::string programs = base_ + "/lib/thole";
    CHECK(std::filesystem::create_directories(programs) &&
          std::filesystem::create_directories(data_folder()));
    std::filesystem::create_symlink(THOLE_KEEPER, programs + "/keeper");
    std::filesystem::create_symlink(THOLE_EDGE, programs + "/edge");
    const int code = run_program({programs + "/keeper", "start", "--run", run_folder(), "--data",
                                  data_folder(), "--binaries", base_, "--roles", "edge"},
                                 kStartLimit);
    if (code != 0) complaint_ += "keeper does not start; ";
    keeper_ = env().network.connect_link(run_folder() + "/keeper.sock");
    keeper_->set_events({.received = [this](std::string_view bytes) { hear_keeper(bytes); },
                         .closed = [this](const Error&) { has_keeper_ended_ = true; }});
    keeper_->send(wire::seal_message(KeeperMessage::Hello,
                                     wire::HelloToKeeper{wire::ClientKind::Test, 0, {}}));
    keeper_->send(
        wire::seal_message(KeeperMessage::EnsureListener,
                           wire::EnsureListenerRequest{kListener, env::Address{}.ip, 0, 0}));
    if (!until([this] { return port_ != 0 && edge_ != 0; }, kStartLimit))
        complaint_ += "keeper has no listener and no edge; ";
}

void Real::hear_keeper(std::string_view datagram) {
    const std::optional<wire::Frame> frame = wire::open_frame(datagram);
    CHECK(frame);
    if (frame->type == static_cast<std::uint16_t>(KeeperMessage::ListenerReady)) {
        if (const auto state = wire::read_message<wire::ListenerState>(frame->body))
            port_ = state->port;
    }
    if (frame->type == static_cast<std::uint16_t>(KeeperMessage::RoleChanged)) {
        const auto state = wire::read_message<wire::RoleState>(frame->body);
        if (state && state->role == static_cast<std::uint32_t>(wire::Role::Edge) &&
            state->event == wire::RoleEvent::Running)
            edge_ = state->pid;
    }
}

std::string Real::complaint() const {
    std::ifstream log(data_folder() + "/keeper.log");
    std::stringstream said;
    said << log.rdbuf();
    const std::string text = said.str();
    const bool is_bad = text.find("Sanitizer") != std::string::npos ||
                        text.find("runtime error") != std::string::npos;
    return complaint_ + (is_bad ? text : "");
}

// keeper takes its cgroups and its run folder away; who is left after that, we do.
Real::~Real() {
    stopped_.clear();
    if (!has_keeper_ended_) {
        keeper_->send(wire::seal(static_cast<std::uint16_t>(KeeperMessage::Shutdown), {}));
        until([this] { return has_keeper_ended_; }, kEndLimit);
    }
    end_all_children();
    std::error_code none;
    std::filesystem::remove_all(base_, none);
}

}  // namespace

std::unique_ptr<Stand> make_real() { return std::make_unique<Real>(); }

}  // namespace thole::contract
