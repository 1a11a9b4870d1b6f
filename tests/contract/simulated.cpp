// The edge of tests/simulation, on its simulated machine. Requests come to it by a call, not by a
// connection, so what is tried is what it decides, and what it says to control.
#include <map>
#include <utility>

#include "edge.h"
#include "stand.h"

namespace thole::contract {
namespace {

using namespace std::chrono_literals;
using simulation::EndpointId;

constexpr std::string_view kRun = "/run/thole";
constexpr std::string_view kData = "/data";

int status_of(wire::Outcome outcome) {
    switch (outcome) {
        case wire::Outcome::Success: return 200;
        case wire::Outcome::Overloaded: return 503;
        case wire::Outcome::Reset:
        case wire::Outcome::Cut: return 502;
        default: return kClosed;
    }
}

class Simulated final : public Stand {
public:
    explicit Simulated(std::uint64_t seed)
        : host_(seed),
          story_(host_.loop()),
          edge_(host_, story_,
                {std::string(kRun), std::string(kData), [](EndpointId) {}, [](EndpointId) {}}),
          control_(host_.process("control")) {
        CHECK(env().files.make_folder(std::string(kRun), 0700).ok());
        CHECK(env().files.make_folder(std::string(kData), 0700).ok());
        edge_.begin();
    }

    env::Env& env() override { return control_.env(); }
    std::string run_folder() const override { return std::string(kRun); }
    std::string data_folder() const override { return std::string(kData); }
    bool until(const std::function<bool()>& holds, Duration limit) override {
        return host_.loop().run_until(holds, limit);
    }

    std::uint16_t start(wire::SlotRef at) override { return static_cast<std::uint16_t>(at.slot); }
    void kill(wire::SlotRef at) override { edge_.lost(simulation::id_of(at)); }
    const std::vector<Arrival>& arrivals(wire::SlotRef at) override {
        return arrivals_[simulation::id_of(at)];
    }

    std::size_t ask(const Ask& ask) override {
        const std::size_t request = seen_.size();
        seen_.push_back(kOpen);
        numbers_.push_back(0);
        const auto attached = [this, request](std::uint64_t number, EndpointId at) {
            arrivals_[at].push_back({request, {0, number}});
        };
        numbers_[request] = edge_.ask(
            kService,
            {.takes = ask.instance == Ask::Instance::Waits ? kForever : Duration(1ms),
             .bytes = ask.body_bytes,
             .worker = worker_of(ask.connection),
             .attached = attached,
             .ended = [this, request](wire::Outcome how) { seen_[request] = status_of(how); }});
        return request;
    }
    int seen(std::size_t request) const override { return seen_[request]; }
    void answer(std::size_t request) override {
        if (edge_.requests().endpoint_of(numbers_[request]) != EndpointId{})
            edge_.requests().end(numbers_[request], wire::Outcome::Success);
    }

    void stop_worker(std::size_t worker) override { edge_.stop_worker(worker); }
    void continue_worker(std::size_t worker) override { edge_.continue_worker(worker); }
    void kill_edge() override {
        edge_.kill();
        host_.loop().schedule(20ms, {"begin again", nullptr, [this] { edge_.begin(); }});
    }
    std::string complaint() const override { return story_.failure(); }

private:
    std::size_t worker_of(std::size_t connection) {
        if (connection == kNewConnection) return edge_.next_worker();
        const auto [place, is_new] = connections_.try_emplace(connection);
        if (is_new) place->second = edge_.next_worker();
        return place->second;
    }

    sim::SimHost host_;
    simulation::Story story_;
    simulation::SimEdge edge_;
    sim::SimProcess& control_;
    std::map<EndpointId, std::vector<Arrival>> arrivals_;
    std::map<std::size_t, std::size_t> connections_;  // Their workers.
    std::vector<std::uint64_t> numbers_;              // As the edge has it.
    std::vector<int> seen_;
};

}  // namespace

std::unique_ptr<Stand> make_simulated(std::uint64_t seed) {
    return std::make_unique<Simulated>(seed);
}

}  // namespace thole::contract
