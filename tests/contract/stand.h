// What the promises of an edge are tried on: an edge with one service behind one listener, its
// instances, their clients, and whatever there is of time. One is simulated, one is real.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "env/env.h"
#include "wire/edge.h"

namespace thole::contract {

constexpr std::uint32_t kService = 1;
constexpr std::uint32_t kListener = 100;
constexpr std::size_t kWorkers = 2;
constexpr std::size_t kNewConnection = ~std::size_t{0};

// A POST: what may not be sent twice.
struct Ask {
    enum class Instance { AnswersAtOnce, Waits };
    Instance instance = Instance::AnswersAtOnce;
    std::size_t body_bytes = 0;
    // One that stays, by its number: it is opened at its first request, and stays at the worker
    // that took it.
    std::size_t connection = kNewConnection;
};

// How a client saw its request end.
constexpr int kOpen = 0;
constexpr int kClosed = -1;  // Else the status.

// A request at an instance, as the instance saw it.
struct Arrival {
    std::size_t request;
    wire::RequestId id;
};

class Stand {
public:
    virtual ~Stand() = default;
    // Control's.
    virtual env::Env& env() = 0;
    virtual std::string run_folder() const = 0;
    virtual std::string data_folder() const = 0;
    // Lets time pass until it holds; false where it does not in time.
    virtual bool until(const std::function<bool()>& holds, Duration limit) = 0;

    // An instance that listens; its port.
    virtual std::uint16_t start(wire::SlotRef at) = 0;
    virtual void kill(wire::SlotRef at) = 0;
    // Also of the dead.
    virtual const std::vector<Arrival>& arrivals(wire::SlotRef at) = 0;

    // The request's number.
    virtual std::size_t ask(const Ask& ask) = 0;
    virtual int seen(std::size_t request) const = 0;
    // Its instance answers now, if it has it.
    virtual void answer(std::size_t request) = 0;

    // A worker that does not turn while the others do; it takes no connections, either.
    virtual void stop_worker(std::size_t worker) = 0;
    virtual void continue_worker(std::size_t worker) = 0;
    // SIGKILL. Another edge takes over.
    virtual void kill_edge() = 0;

    // What went wrong beside the promises; empty where nothing did.
    virtual std::string complaint() const = 0;
};

std::unique_ptr<Stand> make_simulated(std::uint64_t seed);
std::unique_ptr<Stand> make_real();

}  // namespace thole::contract
