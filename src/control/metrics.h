// `GET /metrics` (docs/reference/metrics.md): what control knows of the edge, of services and of
// itself, as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "control/exposition.h"
#include "control/world.h"

namespace thole::control {

struct ProcessUse {
    double cpu_s = 0;
    std::uint64_t resident_bytes = 0;
    std::uint64_t descriptors = 0;
};
// From /proc/<pid>/stat and /proc/<pid>/status; nothing where they do not look as proc(5) says.
std::optional<ProcessUse> read_process_use(std::string_view stat, std::string_view status);

// What the world does not say.
struct MetricsSaid {
    std::string_view version;
    bool is_edge_there = false;
    std::uint64_t turns = 0;
    Duration turn_late_max{};
    std::int64_t timeline_entries = 0;
    std::optional<ProcessUse> self = {};
};
std::string metrics_text(World& world, const MetricsSaid& said, MetricsForm form);

}  // namespace thole::control
