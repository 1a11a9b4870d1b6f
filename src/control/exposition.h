// Metrics as text: Prometheus 0.0.4 and OpenMetrics 1.0 (prometheus.io/docs/instrumenting/
// exposition_formats, github.com/prometheus/OpenMetrics), or as JSON for who reads neither.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "base/json.h"

namespace thole::control {

enum class MetricKind { Counter, Gauge, Histogram };

// Declared once, with the names of its labels; a counter's name without `_total`.
struct Metric {
    std::string_view name;
    MetricKind kind;
    std::string_view labels;  // In order, with a space between.
    std::string_view help;
};

enum class MetricsForm { Prometheus, OpenMetrics, Json };

// By what Accept says, with its weights; Prometheus where it says nothing.
MetricsForm form_for(std::string_view accept);
std::string_view content_type_of(MetricsForm form);

class Exposition {
public:
    using Labels = std::initializer_list<std::string_view>;  // Values, in the metric's order.

    explicit Exposition(MetricsForm form);
    // All samples of it follow; each metric once.
    void begin(const Metric& metric);
    void sample(Labels labels, std::uint64_t value);
    void sample(Labels labels, double value);
    // `counts` of each bucket alone, by its upper end in microseconds; one more for what is longer.
    void histogram(Labels labels, std::span<const std::uint64_t> bounds_us,
                   std::span<const std::uint64_t> counts, double sum_s);
    std::string take();

private:
    void write(std::string_view suffix, Labels labels, std::string_view bound,
               std::string_view value);

    MetricsForm form_;
    Metric metric_{};
    std::string out_;
    JsonWriter json_;
    bool is_open_ = false;  // JSON: a metric is begun.
};

}  // namespace thole::control
