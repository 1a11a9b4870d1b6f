#include "edge/parking.h"

#include <poll.h>

#include "edge/worker.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kParkNs = 200'000'000;

}  // namespace

bool park_workers(Runtime& runtime) {
    runtime.is_parking.store(1);
    const std::int64_t deadline_ns = now_ns() + kParkNs;
    for (const std::unique_ptr<Worker>& worker : runtime.workers) worker->wake();
    while (runtime.parked.load() != runtime.workers.size()) {
        if (now_ns() > deadline_ns) return false;
        ::poll(nullptr, 0, 1);
    }
    return true;
}

void let_go(Runtime& runtime) {
    runtime.is_parking.store(0);
    runtime.is_parking.notify_all();
    // Not before all have gone on: one that still counts would be taken for parked the next time.
    const std::int64_t deadline_ns = now_ns() + kParkNs;
    while (runtime.parked.load() != 0 && now_ns() < deadline_ns) ::poll(nullptr, 0, 1);
}

}  // namespace thole::edge
