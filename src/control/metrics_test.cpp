// What GET /metrics says: both text formats to the letter, totals that do not fall.
#include "control/metrics.h"

#include <gtest/gtest.h>

#include <string>

#include "control/metrics_table.h"

namespace thole::control {
namespace {

constexpr Metric kCounter{"a_things", MetricKind::Counter, "name", "Things."};
constexpr Metric kGauge{"a_level", MetricKind::Gauge, "", "The level."};
constexpr Metric kHistogram{"a_seconds", MetricKind::Histogram, "name", "Time."};
constexpr std::uint64_t kBounds[] = {250, 1'000'000};

std::string written(MetricsForm form) {
    Exposition to(form);
    to.begin(kCounter);
    to.sample({"a\"b\\c\nd"}, std::uint64_t{3});
    to.begin(kGauge);
    to.sample({}, 0.5);
    to.begin(kHistogram);
    const std::uint64_t counts[] = {2, 0, 1};
    to.histogram({"x"}, kBounds, counts, 7.25);
    return to.take();
}

TEST(Exposition, PrometheusText) {
    EXPECT_EQ(written(MetricsForm::Prometheus), R"(# HELP a_things_total Things.
# TYPE a_things_total counter
a_things_total{name="a\"b\\c\nd"} 3
# HELP a_level The level.
# TYPE a_level gauge
a_level 0.5
# HELP a_seconds Time.
# TYPE a_seconds histogram
a_seconds_bucket{name="x",le="0.00025"} 2
a_seconds_bucket{name="x",le="1.0"} 2
a_seconds_bucket{name="x",le="+Inf"} 3
a_seconds_sum{name="x"} 7.25
a_seconds_count{name="x"} 3
)");
}

TEST(Exposition, OpenMetricsNamesTheFamilyWithoutTotalAndHasAnEnd) {
    const std::string text = written(MetricsForm::OpenMetrics);
    EXPECT_TRUE(
        text.starts_with("# HELP a_things Things.\n# TYPE a_things counter\n"
                         "a_things_total{name=\"a\\\"b\\\\c\\nd\"} 3\n"))
        << text;
    EXPECT_TRUE(text.ends_with("a_seconds_count{name=\"x\"} 3\n# EOF\n")) << text;
}

TEST(Exposition, Json) {
    const Result<Json> read = parse_json(written(MetricsForm::Json));
    ASSERT_TRUE(read.ok());
    ASSERT_EQ(read->array()->size(), 3U);
    const Json& counter = read->array()->front();
    EXPECT_EQ(*counter.text_at("name"), "a_things");
    EXPECT_EQ(*counter.text_at("type"), "counter");
    const Json& sample = counter.find("samples")->array()->front();
    EXPECT_EQ(*sample.find("labels")->text_at("name"), "a\"b\\c\nd");
    EXPECT_EQ(*sample.integer_at("value"), 3);
    EXPECT_EQ(read->array()->back().find("samples")->array()->size(), 5U);
}

TEST(Exposition, AcceptChoosesTheFormat) {
    const auto is_open = [](std::string_view accept) {
        return form_for(accept) == MetricsForm::OpenMetrics;
    };
    EXPECT_FALSE(is_open(""));
    EXPECT_FALSE(is_open("*/*"));
    EXPECT_FALSE(is_open("text/plain"));
    EXPECT_TRUE(is_open("application/openmetrics-text"));
    // What Prometheus 2.42 asks for.
    EXPECT_TRUE(
        is_open("application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
                "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
    EXPECT_FALSE(is_open("text/plain;version=0.0.4, application/openmetrics-text; q=0.2"));
    EXPECT_FALSE(is_open("application/openmetrics-text;q=0"));
    EXPECT_FALSE(is_open(",;,q=;;="));
}

TEST(ProcessUse, IsReadFromProc) {
    const std::string stat =
        "12 (a) b 3 (c) S 1 1 1 0 -1 4194560 5 0 0 0 250 150 0 0 20 0 3 0 99 1 2";
    const auto use = read_process_use(stat, "Name:\tcontrol\nVmRSS:\t   20480 kB\nThreads:\t3\n");
    ASSERT_TRUE(use);
    EXPECT_EQ(use->cpu_s, 4.0);
    EXPECT_EQ(use->resident_bytes, 20U * 1024 * 1024);
    EXPECT_FALSE(read_process_use("", "\nVmRSS: 1 kB\n"));
    EXPECT_FALSE(read_process_use("12 (a) S 1", "\nVmRSS: 1 kB\n"));
    EXPECT_FALSE(read_process_use(stat, "Name:\tcontrol\n"));
}

wire::RouteStats route(std::uint32_t listener, std::uint32_t release, std::uint32_t slot,
                       std::uint64_t successes) {
    wire::RouteStats row{listener, release, slot, 0, {}, 0, 0, 0};
    row.outcomes[1] = successes;
    return row;
}

std::uint64_t successes(const EdgeTotals& totals, const EdgeTotals::Key& key) {
    const auto found = totals.routes().find(key);
    return found == totals.routes().end() ? 0 : found->second.outcomes[1];
}

TEST(EdgeTotals, ShowWhatWasKnownUntilAnotherEdgeHasToldAll) {
    EdgeTotals totals;
    totals.begin();
    totals.hear({1, 1, 1}, {route(7, 3, 20, 5)});
    EXPECT_FALSE(totals.is_whole());
    EXPECT_EQ(successes(totals, {7, 3, 20}), 0U);
    totals.hear({1, 1, 0}, {route(7, 3, 21, 6)});
    EXPECT_TRUE(totals.is_whole());
    EXPECT_EQ(successes(totals, {7, 3, 20}), 5U);
    totals.hear({1, 1, 1}, {route(7, 3, 20, 8)});
    EXPECT_EQ(successes(totals, {7, 3, 20}), 8U);
    totals.begin();
    totals.hear({2, 1, 1}, {route(7, 3, 21, 9)});
    EXPECT_TRUE(totals.is_whole());
    EXPECT_EQ(successes(totals, {7, 3, 20}), 8U);
    EXPECT_EQ(successes(totals, {7, 3, 21}), 6U);
    totals.hear({2, 0, 0}, {});
    EXPECT_EQ(successes(totals, {7, 3, 21}), 9U);
    EXPECT_EQ(totals.routes().size(), 1U) << "it is told no more";
}

TEST(EdgeTotals, WhatHasGoneIsShownNoMoreAndNoEdgeFillsOurMemory) {
    EdgeTotals totals;
    totals.hear({1, 1, 0}, {route(7, 3, 20, 5)});
    wire::RouteStats gone = route(7, 3, 20, 0);
    gone.flags = wire::kRouteGone;
    totals.hear({1, 1, 0}, {gone});
    EXPECT_TRUE(totals.routes().empty());
    for (std::uint32_t i = 0; i < 20'000; ++i) totals.hear({1, 1, 1}, {route(i, 3, 20, 1)});
    EXPECT_EQ(totals.routes().size(), 8192U);
    wire::RouteDurations odd{};
    odd.outcome = wire::Outcome::Reset;  // Not timed.
    totals.hear({odd});
}

// A world with one service that is called by another and from outside.
class Metrics : public testing::Test {
protected:
    Metrics() {
        world_.services[1].row = {.id = 1, .name = "orders"};
        world_.services[2].row = {.id = 2, .name = "web"};
        world_.listeners[7] = {.id = 7, .service = 1, .caller = 2, .address = 0x7f000001};
        world_.listeners[8] = {.id = 8, .service = 2, .address = 0x7f000001, .port = 8080};
        for (const std::uint32_t slot : {20U, 21U}) world_.slots[slot].row.service = 1;
        world_.slots[30].row.service = 2;
    }
    std::string text() { return metrics_text(world_, {.version = "1"}, MetricsForm::Prometheus); }
    bool says(std::string_view line) {
        return text().find("\n" + std::string(line) + "\n") != std::string::npos;
    }
    void hear(const std::vector<wire::RouteStats>& rows) {
        world_.edge_totals.hear({1, 0, 0}, rows);
    }

    World world_;
};

TEST_F(Metrics, RoutesAreSummedOverTheSlotsOfARelease) {
    hear({route(7, 3, 20, 5), route(7, 3, 21, 6), route(7, 4, 20, 1), route(8, 1, 30, 2)});
    EXPECT_TRUE(says(R"(thole_edge_requests_total{service="orders",caller="web",route="call",)"
                     R"(release="3",outcome="success"} 11)"));
    EXPECT_TRUE(says(R"(thole_edge_requests_total{service="orders",caller="web",route="call",)"
                     R"(release="4",outcome="success"} 1)"));
    EXPECT_TRUE(says(R"(thole_edge_requests_total{service="web",caller="",)"
                     R"(route="127.0.0.1:8080",release="1",outcome="success"} 2)"))
        << text();
}

TEST_F(Metrics, WhatMetNoInstanceAndWhatFoundNoPlaceIsShownAndAClosedListenerIsNot) {
    hear({route(7, 0, wire::kNoSlot, 4), route(0, 0, wire::kNoSlot, 9), route(99, 3, 20, 5)});
    EXPECT_TRUE(says(R"(thole_edge_requests_total{service="orders",caller="web",route="call",)"
                     R"(release="",outcome="success"} 4)"));
    EXPECT_TRUE(says(R"(thole_edge_requests_total{service="",caller="",route="other",release="",)"
                     R"(outcome="success"} 9)"));
    EXPECT_EQ(text().find("} 5\n"), std::string::npos);
}

wire::RefusalStats refusal(wire::RefusalKind kind, std::uint32_t listener, std::uint32_t service,
                           std::uint64_t count) {
    return {kind, listener, service, 0, "H1-LF", count};
}

// Who attacks which route, and which instance breaks the protocol.
TEST_F(Metrics, RefusalsAreCountedByRouteSideAndRule) {
    using wire::RefusalKind;
    world_.edge_totals.hear_refusals(
        {1, 0, 1}, {refusal(RefusalKind::Request, 7, 1, 3), refusal(RefusalKind::Answer, 7, 1, 2)});
    EXPECT_EQ(text().find("H1-LF"), std::string::npos) << "not all has been told";
    world_.edge_totals.hear_refusals({1, 0, 0}, {refusal(RefusalKind::Request, 8, wire::kNoSlot, 4),
                                                 refusal(RefusalKind::Reported, 8, 1, 5)});
    EXPECT_TRUE(says(R"(thole_edge_refused_total{service="orders",caller="web",route="call",)"
                     R"(side="request",rule="H1-LF"} 3)"));
    EXPECT_TRUE(says(R"(thole_edge_refused_total{service="orders",caller="web",route="call",)"
                     R"(side="answer",rule="H1-LF"} 2)"));
    // Its service was not known yet: it is the port's.
    EXPECT_TRUE(says(R"(thole_edge_refused_total{service="web",caller="",)"
                     R"(route="127.0.0.1:8080",side="request",rule="H1-LF"} 4)"));
    EXPECT_TRUE(says(R"(thole_edge_reported_total{service="orders",caller="",)"
                     R"(route="127.0.0.1:8080",rule="H1-LF"} 5)"));
    world_.edge_totals.begin();
    EXPECT_NE(text().find("H1-LF"), std::string::npos) << "until the next edge has told all";
    world_.edge_totals.hear_refusals({2, 0, 0}, {});
    EXPECT_EQ(text().find("H1-LF"), std::string::npos);
}

// A public port went from web to orders: what web's instances served stays web's.
TEST_F(Metrics, ARequestIsItsInstancesServiceS) {
    hear({route(8, 1, 30, 2), route(8, 1, 20, 3)});
    world_.listeners[8].service = 1;
    EXPECT_TRUE(says(R"(thole_edge_requests_total{service="web",caller="",)"
                     R"(route="127.0.0.1:8080",release="1",outcome="success"} 2)"));
    EXPECT_TRUE(says(R"(thole_edge_requests_total{service="orders",caller="",)"
                     R"(route="127.0.0.1:8080",release="1",outcome="success"} 3)"));
}

TEST_F(Metrics, DurationsAreAHistogramThatEndsInItsCount) {
    for (const std::uint32_t slot : {20U, 21U}) {
        wire::RouteDurations row{7, 3, slot, wire::Outcome::Success, 500'000'000, {}};
        row.counts[0] = 2;
        row.counts[4] = 1;
        row.counts[wire::kDurationBuckets - 1] = 1;
        world_.edge_totals.hear({row});
    }
    hear({route(7, 3, 20, 4), route(7, 3, 21, 4)});
    const std::string labels =
        R"({service="orders",caller="web",route="call",release="3",outcome="success")";
    const std::string name = "thole_edge_request_duration_seconds";
    EXPECT_TRUE(says(name + "_bucket" + labels + R"(,le="0.00025"} 4)"));
    EXPECT_TRUE(says(name + "_bucket" + labels + R"(,le="0.0025"} 4)"));
    EXPECT_TRUE(says(name + "_bucket" + labels + R"(,le="0.005"} 6)"));
    EXPECT_TRUE(says(name + "_bucket" + labels + R"(,le="10.0"} 6)"));
    EXPECT_TRUE(says(name + "_bucket" + labels + R"(,le="+Inf"} 8)"));
    EXPECT_TRUE(says(name + "_sum" + labels + "} 1"));
    EXPECT_TRUE(says(name + "_count" + labels + "} 8"));
}

TEST_F(Metrics, InstancesAreCountedByService) {
    for (const std::uint32_t slot : {20U, 21U}) {
        Instance& instance = world_.instances[slot];
        instance.service = 1;
        instance.version.release = 3;
        instance.stats.in_flight = 2;
        instance.stage = slot == 20 ? model::Stage::Ready : model::Stage::Starting;
        world_.slots[slot].row.generation = 4;
        world_.slots[slot].restarts = 1;
    }
    EXPECT_TRUE(says(R"(thole_edge_requests_in_flight{service="orders",release="3"} 4)"));
    EXPECT_TRUE(says(R"(thole_service_instances_serving{service="orders"} 1)"));
    EXPECT_TRUE(says(R"(thole_service_instances_serving{service="web"} 0)"));
    EXPECT_TRUE(says(R"(thole_service_instances{service="orders"} 2)"));
    EXPECT_TRUE(says(R"(thole_service_starts_total{service="orders"} 8)"));
    EXPECT_TRUE(says(R"(thole_service_restarts_total{service="orders"} 2)"));
}

}  // namespace
}  // namespace thole::control
