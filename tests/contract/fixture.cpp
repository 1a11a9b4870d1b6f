#include "fixture.h"

#include <algorithm>

namespace thole::contract {
namespace {

constexpr std::size_t kConnections = 8;

}  // namespace

EdgeContract::EdgeContract()
    : stand_(GetParam().seed == 0 ? make_real() : make_simulated(GetParam().seed)),
      control_(*stand_) {}

void EdgeContract::SetUp() {
    ASSERT_EQ(stand_->complaint(), "");
    ASSERT_TRUE(control_.connect());
    ASSERT_EQ(control_.welcome->workers, kWorkers);
    const auto applied = control_.activate(1, limits());
    ASSERT_TRUE(applied && applied->error == 0) << (applied ? applied->reason : "no answer");
}

void EdgeContract::TearDown() { EXPECT_EQ(stand_->complaint(), ""); }

wire::SnapshotLimits EdgeContract::limits() {
    return {.connect = 1s,
            .response_head = 30s,
            .idle = 60s,
            .tunnel = 1h,
            .hold = 30s,
            .held_requests_max = 1000,
            .held_bytes_max = 64 * 1024 * 1024,
            .write_stall = 30s,
            .body_grace = 5s,
            .body_bytes_max = 0,
            .body_bytes_per_second = 500};
}

wire::EndpointChange EdgeContract::row(wire::SlotRef at, std::uint32_t bits) {
    const auto [port, is_new] = ports_.try_emplace(id_of(at));
    if (is_new) port->second = stand_->start(at);
    wire::EndpointChange change{};
    change.at = at;
    change.service = kService;
    change.release = 1;
    change.address = env::Address{}.ip;
    change.port = port->second;
    change.bits = bits;
    change.weight = 100;
    return change;
}

int EdgeContract::request(const Ask& ask) {
    const std::size_t number = stand_->ask(ask);
    until([&] { return has_ended(number); });
    return stand_->seen(number);
}

bool EdgeContract::has_arrived(wire::SlotRef at, std::size_t request) {
    const std::vector<Arrival>& all = stand_->arrivals(at);
    return std::any_of(all.begin(), all.end(),
                       [&](const Arrival& arrival) { return arrival.request == request; });
}

std::vector<std::size_t> EdgeContract::ask_many(std::size_t count, const Ask& ask) {
    std::vector<std::size_t> requests;
    for (std::size_t i = 0; i < count; ++i) requests.push_back(stand_->ask(ask));
    return requests;
}

void EdgeContract::open_connections() {
    for (std::size_t worker = 0; worker < kWorkers; ++worker) {
        const std::size_t other = kWorkers - 1 - worker;
        stand_->stop_worker(other);
        for (std::size_t i = 0; i < kConnections / kWorkers; ++i)
            ASSERT_EQ(request({.connection = worker * kConnections / kWorkers + i}), 200);
        stand_->continue_worker(other);
    }
}

void EdgeContract::no_more_in_flight(wire::SlotRef at) {
    EXPECT_TRUE(until([&] { return control_.stats[id_of(at)].in_flight == 0; }));
}

std::uint64_t EdgeContract::counted(wire::SlotRef at, wire::Outcome outcome) const {
    const auto found = control_.stats.find(id_of(at));
    return found == control_.stats.end() ? 0 : found->second.outcomes[static_cast<int>(outcome)];
}

}  // namespace thole::contract
