// Judges instances by their traffic and takes the bad ones out: reads what the workers count,
// decides by ejection.h, and writes the edge's own bit into the endpoint table. Main's.
#pragma once

#include <cstdint>
#include <vector>

#include "edge/runtime.h"

namespace thole::edge {

class Judging {
public:
    explicit Judging(Runtime& runtime) : runtime_(runtime) {}

    // True where the table has changed: workers are to apply it.
    bool judge_all(std::int64_t now_ns);

private:
    struct Service {
        std::uint32_t id;
        std::vector<std::uint32_t> slots;
    };
    void list_services();
    bool judge_one(const Service& service, std::int64_t now_ns);

    Runtime& runtime_;
    std::uint64_t listed_at_ = 0;  // The table's sequence.
    std::vector<Service> services_;
    std::int64_t judged_ns_ = 0;
};

}  // namespace thole::edge
