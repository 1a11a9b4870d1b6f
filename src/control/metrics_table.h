// Every metric that thole has of itself. docs/reference/metrics.md is made of this by
// tools/metrics.py: a comment with an empty line after it is a heading.
#pragma once

#include "control/exposition.h"

namespace thole::control::metrics {

// The edge: totals of memory that outlives it and control. None falls when one of them dies.

constexpr Metric kEdgeRequests{"thole_edge_requests", MetricKind::Counter,
                               "service caller route release outcome",
                               "Requests, by how their client saw them end."};
constexpr Metric kEdgeDurations{
    "thole_edge_request_duration_seconds", MetricKind::Histogram,
    "service caller route release outcome",
    "From the attachment to an instance to the end of its answer; no tunnels, no event streams."};
constexpr Metric kEdgeRefused{
    "thole_edge_refused", MetricKind::Counter, "service caller route side rule",
    "Requests, answers and connections that were refused or let go, by the rule."};
constexpr Metric kEdgeReported{"thole_edge_reported", MetricKind::Counter,
                               "service caller route rule",
                               "Requests that broke a rule and were served, by `check: report`."};
constexpr Metric kEdgeInFlight{"thole_edge_requests_in_flight", MetricKind::Gauge,
                               "service release", "Requests and tunnels at instances now."};
constexpr Metric kEdgeWaiting{"thole_edge_requests_waiting", MetricKind::Gauge, "",
                              "Requests that are held until an instance serves."};
constexpr Metric kEdgeQueued{"thole_edge_requests_queued", MetricKind::Gauge, "",
                             "Requests that wait for a place at a service with enough to do."};
constexpr Metric kEdgeHolds{"thole_edge_holds", MetricKind::Counter, "",
                            "Requests that were held until an instance served."};
constexpr Metric kEdgeReplays{"thole_edge_replays", MetricKind::Counter, "",
                              "Requests taken from an instance and sent to another one."};
constexpr Metric kEdgeDiverted{"thole_edge_diverted", MetricKind::Counter, "",
                               "Attempts that went to another release: its own was out."};
constexpr Metric kEdgeBroken{"thole_edge_broken_requests", MetricKind::Counter, "",
                             "Requests that were begun and not answered by their instance."};
constexpr Metric kEdgeAccessDropped{"thole_edge_access_dropped", MetricKind::Counter, "",
                                    "Lines of access.log for which there was no room or no disk."};
constexpr Metric kEdgeAddedWait{"thole_edge_added_wait_max_seconds", MetricKind::Gauge, "",
                                "The longest that a request waited more than it had to."};
constexpr Metric kEdgeEpoch{"thole_edge_epoch", MetricKind::Gauge, "",
                            "Edges so far on this memory: one more with each takeover."};
constexpr Metric kEdgeUp{"thole_edge_up", MetricKind::Gauge, "",
                         "1: control is connected to the edge; else its counts are older."};

// Services, as control has them.

constexpr Metric kServing{"thole_service_instances_serving", MetricKind::Gauge, "service",
                          "Instances that take requests."};
constexpr Metric kInstances{"thole_service_instances", MetricKind::Gauge, "service",
                            "Instances that run, also those that start or leave."};
constexpr Metric kWanted{"thole_service_instances_wanted", MetricKind::Gauge, "service",
                         "Instances that should serve."};
constexpr Metric kStarts{"thole_service_starts", MetricKind::Counter, "service",
                         "Instances that were ever started, by deploys, too."};
constexpr Metric kRestarts{"thole_service_restarts", MetricKind::Counter, "service",
                           "Instances started after one that ended, since control began."};

// thole itself. Turns count since control began.

constexpr Metric kRoleStarts{"thole_role_starts", MetricKind::Counter, "role",
                             "Processes that were started for a role of thole."};
constexpr Metric kTurns{"thole_control_turns", MetricKind::Counter, "",
                        "Turns of control's loop in which services were looked at."};
constexpr Metric kTurnLate{"thole_control_turn_late_max_seconds", MetricKind::Gauge, "",
                           "The longest that the turn of each second came late."};
constexpr Metric kManifestsRefused{
    "thole_manifests_refused", MetricKind::Counter, "",
    "Manifests that were not applied for what stands in them, since control began."};
constexpr Metric kSnapshotsRefused{
    "thole_snapshots_refused", MetricKind::Counter, "",
    "Times that the edge did not take the routes it was given, since control began."};
constexpr Metric kTimeline{"thole_control_timeline_entries", MetricKind::Counter, "",
                           "Entries that were ever written to the timeline."};
constexpr Metric kBuildInfo{"thole_build_info", MetricKind::Gauge, "version",
                            "1, with the version of control."};

// control's process, by the names that every Prometheus client gives them.

constexpr Metric kCpu{"process_cpu_seconds", MetricKind::Counter, "",
                      "Processor time of control, user and system."};
constexpr Metric kMemory{"process_resident_memory_bytes", MetricKind::Gauge, "",
                         "Memory of control that is resident."};
constexpr Metric kDescriptors{"process_open_fds", MetricKind::Gauge, "",
                              "Descriptors that control has open."};

}  // namespace thole::control::metrics
