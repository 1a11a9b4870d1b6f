#include "control/exposition.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/check.h"

namespace thole::control {
namespace {

constexpr std::string_view kOpenMetrics = "application/openmetrics-text";

std::string_view kind_name(MetricKind kind) {
    switch (kind) {
        case MetricKind::Counter: return "counter";
        case MetricKind::Gauge: return "gauge";
        case MetricKind::Histogram: return "histogram";
    }
    return "unknown";
}

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Up to the separator, which goes, too.
std::string_view take_part(std::string_view& rest, char separator) {
    const std::string_view part = rest.substr(0, rest.find(separator));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    return trimmed(part);
}

// In thousandths, as RFC 9110 section 12.4.2 has them; 1 where it is none.
int weight_of(std::string_view text) {
    double weight = 1;
    std::from_chars(text.data(), text.data() + text.size(), weight);
    if (!(weight >= 0)) weight = 0;  // It may be no number at all.
    return static_cast<int>(std::min(weight, 1.0) * 1000);
}

void escape(std::string& into, std::string_view value) {
    for (const char c : value) {
        if (c == '\n') {
            into += "\\n";
            continue;
        }
        if (c == '\\' || c == '"') into += '\\';
        into += c;
    }
}

// As OpenMetrics writes a bucket's bound: with a point.
std::string bound_of(std::uint64_t microseconds) {
    std::string text = fmt::format("{}", static_cast<double>(microseconds) / 1e6);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";
    return text;
}

}  // namespace

MetricsForm form_for(std::string_view accept) {
    int open_metrics = 0;
    int text = 0;
    while (!accept.empty()) {
        std::string_view range = take_part(accept, ',');
        const std::string_view type = take_part(range, ';');
        int weight = 1000;
        while (!range.empty()) {
            const std::string_view parameter = take_part(range, ';');
            if (parameter.starts_with("q=")) weight = weight_of(parameter.substr(2));
        }
        if (type == kOpenMetrics) open_metrics = std::max(open_metrics, weight);
        if (type == "text/plain") text = std::max(text, weight);
    }
    return open_metrics > 0 && open_metrics >= text ? MetricsForm::OpenMetrics
                                                    : MetricsForm::Prometheus;
}

std::string_view content_type_of(MetricsForm form) {
    switch (form) {
        case MetricsForm::Prometheus: return "text/plain; version=0.0.4; charset=utf-8";
        case MetricsForm::OpenMetrics:
            return "application/openmetrics-text; version=1.0.0; charset=utf-8";
        case MetricsForm::Json: return "application/json";
    }
    return {};
}

Exposition::Exposition(MetricsForm form) : form_(form) {
    if (form_ == MetricsForm::Json) json_.begin_array();
}

void Exposition::begin(const Metric& metric) {
    metric_ = metric;
    if (form_ == MetricsForm::Json) {
        if (std::exchange(is_open_, true)) json_.end_array().end_object();
        json_.begin_object()
            .member("name", metric.name)
            .member("type", kind_name(metric.kind))
            .member("help", metric.help)
            .key("samples")
            .begin_array();
        return;
    }
    const bool is_total = form_ == MetricsForm::Prometheus && metric.kind == MetricKind::Counter;
    const std::string_view suffix = is_total ? "_total" : "";
    fmt::format_to(std::back_inserter(out_), "# HELP {0}{1} {2}\n# TYPE {0}{1} {3}\n", metric.name,
                   suffix, metric.help, kind_name(metric.kind));
}

void Exposition::sample(Labels labels, std::uint64_t value) {
    write(metric_.kind == MetricKind::Counter ? "_total" : "", labels, "",
          fmt::format("{}", value));
}

void Exposition::sample(Labels labels, double value) {
    write(metric_.kind == MetricKind::Counter ? "_total" : "", labels, "",
          fmt::format("{}", value));
}

void Exposition::histogram(Labels labels, std::span<const std::uint64_t> bounds_us,
                           std::span<const std::uint64_t> counts, double sum_s) {
    CHECK(counts.size() == bounds_us.size() + 1);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
        sum += counts[i];
        write("_bucket", labels, i < bounds_us.size() ? bound_of(bounds_us[i]) : "+Inf",
              fmt::format("{}", sum));
    }
    write("_sum", labels, "", fmt::format("{}", sum_s));
    write("_count", labels, "", fmt::format("{}", sum));
}

// `bound`: of a bucket, else empty.
void Exposition::write(std::string_view suffix, Labels labels, std::string_view bound,
                       std::string_view value) {
    const bool is_json = form_ == MetricsForm::Json;
    if (is_json) {
        json_.begin_object()
            .member("name", fmt::format("{}{}", metric_.name, suffix))
            .key("labels")
            .begin_object();
    } else {
        fmt::format_to(std::back_inserter(out_), "{}{}", metric_.name, suffix);
    }
    char before = '{';
    const auto add = [&](std::string_view name, std::string_view content) {
        if (is_json) {
            json_.member(name, content);
            return;
        }
        fmt::format_to(std::back_inserter(out_), "{}{}=\"", std::exchange(before, ','), name);
        escape(out_, content);
        out_ += '"';
    };
    std::string_view names = metric_.labels;
    for (const std::string_view content : labels) add(take_part(names, ' '), content);
    CHECK(names.empty());
    if (!bound.empty()) add("le", bound);
    if (is_json) {
        json_.end_object().key("value").raw(value).end_object();
    } else {
        fmt::format_to(std::back_inserter(out_), "{} {}\n", before == ',' ? "}" : "", value);
    }
}

std::string Exposition::take() {
    if (form_ == MetricsForm::Json) {
        if (is_open_) json_.end_array().end_object();
        return json_.end_array().take();
    }
    if (form_ == MetricsForm::OpenMetrics) out_ += "# EOF\n";
    return std::move(out_);
}

}  // namespace thole::control
