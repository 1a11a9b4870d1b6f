// What the edge tells control of whom it refused: all of it after Hello, then what has grown, at
// most once a second. Main's own; reads what the workers write.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "edge/segment.h"
#include "wire/refusal.h"

namespace thole::edge {

class RefusalReports {
public:
    // False where it cannot be sent now; then it is said again later.
    using Send = std::function<bool(const std::string& frame)>;

    explicit RefusalReports(const Segment& segment) : segment_(segment) {}

    // Somebody new listens, who knows nothing yet.
    void begin();
    void send_changes(std::int64_t now_ns, const Send& send);

private:
    using Key = std::array<char, sizeof(wire::RefusalStats) - sizeof(std::uint64_t)>;
    std::map<Key, wire::RefusalStats> sums() const;

    const Segment& segment_;
    std::map<Key, std::uint64_t> told_;
    std::uint64_t told_all_ = 0;
    std::int64_t told_ns_ = 0;
    bool is_first_ = true;
};

}  // namespace thole::edge
