// The old edge's side of an upgrade (decision 8): it goes on until the new one greets, then lets
// its workers wait, hands over what it has, and is ended by the one that took it. Whatever goes
// wrong before that, the workers go on as if nothing had been. Main's own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "edge/hand_over_link.h"
#include "edge/holder.h"
#include "edge/runtime.h"
#include "os/fd.h"
#include "wire/edge.h"

namespace thole::edge {

class HandOver {
public:
    HandOver(Runtime& runtime, const Holder& holder) : runtime_(runtime), holder_(holder) {}

    // At the other end is who takes our place; one before it is left to itself.
    void begin(os::FileDescriptor link);
    // Readable once there is something to do; -1: nothing is.
    int descriptor() const { return link_.descriptor(); }
    // In each turn: why we go on, where it failed just now. Does not return where it succeeds.
    std::optional<wire::Upgraded> turn();

private:
    Status greet();
    Status refuse(const std::string& reason);
    Status hand_over(std::int64_t since_ns);
    Status send_all(std::uint64_t offer, std::int64_t since_ns, std::int64_t deadline_ns);
    std::vector<int> what_goes() const;
    wire::Upgraded fail(const Error& why);

    Runtime& runtime_;
    const Holder& holder_;
    HandOverLink link_;
    os::FileDescriptor successor_;  // Its pidfd, once it has greeted.
    std::int64_t deadline_ns_ = 0;
};

}  // namespace thole::edge
