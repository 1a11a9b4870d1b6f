// Every default of a service in one place, each with its unit (in the type), its reason, and its
// source where that is not we ourselves. docs/reference/defaults.md is made of this by
// tools/defaults.py.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace thole::model {

using namespace std::chrono_literals;

// Requests. The limits are those that users of HAProxy, Envoy and nginx set after a bad night.

// To an instance on the same machine: it answers in microseconds or never.
constexpr Duration kConnectLimit = 1s;
// A whole head: slower is an attack. Source: Slowloris; HAProxy's manual, timeout http-request.
constexpr Duration kRequestHeadLimit = 10s;
// Longer than a browser's user waits.
constexpr Duration kResponseHeadLimit = 30s;
// Between requests, and each pause inside a body.
constexpr Duration kIdleLimit = 60s;
// Silence in a tunnel or an event stream: people leave such pages open.
constexpr Duration kTunnelLimit = 1h;
// A restart of a slow service fits; longer must be said.
constexpr Duration kHoldLimit = 30s;
// Of one service: what waits is work for an instance that has just started.
constexpr std::uint32_t kHeldRequestsMax = 1000;
// Of one service: a queue must not take the machine's memory.
constexpr std::uint32_t kHeldBytesMax = 64 * 1024 * 1024;
// After the last answer: so that it is not lost to a reset. Source: RFC 9112 section 9.6.
constexpr Duration kLingerLimit = 1s;
// Once a WebSocket's client is told that its instance leaves: for its answer, and then for the
// instance's. Source: as kLingerLimit; a client that reads at all answers within a round trip.
constexpr Duration kCloseAnswerLimit = 1s;
// For an idle client whose port is served no more, and up to twice as long, so that not all come
// back at once: one more request may be on its way. Source: HAProxy, close-spread-time, for the
// same.
constexpr Duration kIdleLeaveDelay = 2s;
// Of one request, each at another endpoint where there is one: more would be a storm. Only what no
// instance can have begun, or may be done twice, is tried again. Source: RFC 9110 section 9.2.2.
constexpr std::uint32_t kAttemptsMax = 3;
// So often a request may have passed the edge before, by its Via fields; more go round. Services
// that call each other, and pass these fields on, stay well below it; what goes round holds one
// place more for each time.
constexpr std::uint32_t kPassesMax = 16;
// Of requests that went well such a share is in access.log: enough to see what is usual. What did
// not end well, or was slow, is there always.
constexpr std::uint32_t kAccessSampleOneIn = 100;
// Slower than this a request is one whose user noticed.
constexpr Duration kAccessSlow = 1s;
// Of access.log; with the one before it twice as much. Some 40 000 requests each.
constexpr std::uint32_t kAccessFileBytes = 16 * 1024 * 1024;
// Of one service: retries by an answer's status or a time-out, for each 1000 requests, so that a
// service on its knees is not pushed over. A little below a fifth, so that with the few that are
// saved up it stays within a fifth. Source: 20 % of Finagle's and linkerd's retry budgets.
constexpr std::int64_t kRetriesPerMille = 190;
// Of one service and worker: so many more are saved up while all goes well. Finagle keeps those of
// 10 s, which a service that fails as a whole then gets at once.
constexpr std::int64_t kRetriesSaved = 10;
// Of one service and worker, each second: so that one that is seldom asked has retries, too. Counts
// only where its share comes to less. Source: Finagle's minRetriesPerSec, there 10.
constexpr std::int64_t kRetriesPerSecond = 1;
// Retries at one time, of what is in flight, in percent. Source: Envoy's retry_budget.
constexpr std::uint32_t kRetriesInFlightPercent = 20;
// At one time, however little is in flight. Source: Envoy, min_retry_concurrency.
constexpr std::uint32_t kRetriesInFlightMin = 3;
// The longest pause before the first retry; doubles with each, and any shorter one is as likely.
// Source: Envoy, retry_back_off.base_interval.
constexpr Duration kRetryPause = 25ms;
// A client waits for it. Source: Envoy, retry_back_off.max_interval, ten times the first.
constexpr Duration kRetryPauseMax = 250ms;
// So many times what the slowest answer of the last minutes took, an attempt may be silent before
// another instance is asked: where a service is known to be quick, one that hangs costs no minute.
constexpr std::int64_t kTryLimitTimes = 4;
// But never less: a slow page that was not asked for before is no hang, and asking for it twice
// makes its user wait for both.
constexpr Duration kTryLimitMin = 5s;
// A `Retry-After` of so long is waited for; a longer one is passed on and not tried again.
constexpr Duration kRetryAfterMax = 1s;
// An instance whose requests fail is out for so long, times how often it was of late: short,
// because it comes back alone. Source: Envoy's base_ejection_time, there 30 s.
constexpr Duration kEjectionTime = 5s;
// At most: a mended instance is back within it. Source: Envoy's max_ejection_time.
constexpr Duration kEjectionTimeMax = 300s;
// In service for so long, one ejection is forgotten.
constexpr Duration kEjectionForgotten = 60s;
// Of a service's instances at most so many percent are out for what their traffic shows, or one:
// the rest must carry the load. Envoy has 10 %.
constexpr std::uint32_t kEjectedPercentMax = 30;
// Where fewer percent of a service's instances would serve, all that may are tried: they cannot all
// be worse than none. Source: Envoy's panic threshold.
constexpr std::uint32_t kPanicPercent = 50;
// A new or returned instance gets its full share only after so long: its caches are cold. Envoy has
// none unless it is set, HAProxy's manual shows 10 s and more.
constexpr Duration kSlowStart = 10s;
// Its share at first, of a thousand. Source: Envoy's min_weight_percent.
constexpr std::uint32_t kSlowStartLeast = 100;
// A slow answer of an instance is forgotten to a third after so long. Source: Finagle's peak EWMA
// and linkerd2-proxy.
constexpr Duration kLatencyMemory = 10s;
// Requests of one service at one time, more wait: what an instance of a small service can still
// answer in time, times a few. Source: Envoy's max_requests.
constexpr std::uint32_t kInFlightMax = 1024;
// Of these, in percent, as many as those of low priority may take: the rest is for the others.
constexpr std::uint32_t kLowPriorityPercent = 80;
// That wait for a place in it: more than a second's work would wait in vain.
constexpr std::uint32_t kQueuedMax = 1024;
// Who waits for a place so long is overload: from then on the last to come is the first to go,
// because the first may be gone. Source: Maurer, Fail at Scale, ACM Queue 2015 (adaptive LIFO).
constexpr Duration kOverloadedAfter = 100ms;
// For a place: longer is refused, since its client will not wait much longer for the answer.
constexpr Duration kQueueLimit = 5s;

// What a manifest may say of the last two, at most: as many as one edge can have under way.
constexpr std::uint32_t kRequestsAtOnceMax = 16384;
// And of the times of a request: longer is none.
constexpr Duration kRequestTimeMax = 168h;

// Of a request's body, once its grace is over; only while we wait for the client, not while its
// instance is slow. Source: mod_reqtimeout of Apache, MinRate=500.
constexpr std::uint32_t kBodyBytesPerSecondMin = 500;
// Before the least rate of a body counts: a connection may begin with a lost packet or two.
constexpr Duration kBodyGrace = 5s;
// Of one request. 0: any, as in HAProxy, Envoy, Caddy and Traefik; bodies are passed on and never
// collected, so that a large one costs no more than a small one. nginx's 1 MB is what people trip
// over.
constexpr std::uint64_t kBodyBytesMax = 0;
// A client elsewhere that has ended its side and waits: then it is sent an interim answer, which
// one that has gone answers by a reset. Answers that take less are sent as they are.
constexpr Duration kHalfClosedPatience = 1s;
// Of the protocols that requests may be upgraded to, written as a list. Two dozen are registered,
// and hardly a service has two. Source: IANA, HTTP Upgrade Token Registry.
constexpr std::size_t kUpgradesBytesMax = 59;
// A client that takes nothing of its answer; one that takes a little goes on. Source: HAProxy's
// manual, timeout client; nginx's send_timeout is 60 s.
constexpr Duration kWriteStallLimit = 30s;

// The edge where room is short. But for the first, each in percent.

// Descriptors that connections leave free; a quarter of all where that is less. Source: an edge has
// about 25 of its own, and whoever takes over needs as many before it closes those of the dead.
constexpr std::uint32_t kOwnDescriptors = 64;

// Of all descriptors: above it idle connections and half-sent heads are closed, of the address with
// the most first, and answers end their connection.
constexpr std::uint32_t kShedPercent = 75;
// Down to this, so that it is not done for each connection.
constexpr std::uint32_t kShedToPercent = 70;
// Of all descriptors: above it nobody is taken in; the rest is for connections to instances,
// without which no request ends.
constexpr std::uint32_t kTakeInPercent = 90;
// Of a worker's buffers: above it a body that has none yet stays with its client. Source: Envoy's
// overload manager, as are the next two.
constexpr std::uint32_t kHoldBodiesPercent = 80;
// New requests are answered 503, answers end their connection, half-sent heads are closed.
constexpr std::uint32_t kRefusePercent = 90;
// The largest exchanges are reset.
constexpr std::uint32_t kResetPercent = 95;
// Of the memory that the edge's cgroup allows: so much its buffers and it itself may take.
constexpr std::uint32_t kMemoryPercent = 80;

// Instances.

// Slow runtimes load in half of it.
constexpr Duration kStartupLimit = 60s;
// From SIGTERM to SIGKILL. Source: docker stop and Compose's stop_grace_period.
constexpr Duration kStopGrace = 10s;
// For what is under way when an instance is to go: as long as an answer may take to begin. In the
// second half of it tunnels and event streams are ended one by one.
constexpr Duration kDrainLimit = 30s;
// The same where its successor waits for it, and with it every request.
constexpr Duration kSingleDrainLimit = 5s;
// Before the second start in a row; doubles with each failure, with jitter, so that services that
// fell together do not rise together.
constexpr Duration kRestartDelayMin = 100ms;
// So long a crash loop waits at most: a mended cause is seen within it.
constexpr Duration kRestartDelayMax = 30s;
// Ready for so long: earlier failures are forgotten.
constexpr Duration kRecoveredAfter = 10s;
// Between two probes of one that starts, once the first quick ones have passed.
constexpr Duration kProbePause = 100ms;
// For one probe's answer: a ready instance says so at once. Source: Kubernetes, timeoutSeconds.
constexpr Duration kProbeLimit = 1s;
// Of one service: more than a machine of today has use for, fewer than its slots.
constexpr int kScaleMax = 64;
// Of a system: services of the manifest, with those before it that go on. The edge has room for
// 1024.
constexpr int kServicesMax = 1000;
// Of a system, likewise: public ports, and one for each caller and callee. The edge has room for
// those of the releases before and of the next.
constexpr int kPortsMax = 512;
// Of a system, likewise: hosts and paths of its public services; a host of a service is one, and so
// is a service without hosts. Each takes half a KiB of the edge's memory, twice.
constexpr int kRoutesMax = 1024;
// Of one public port: networks whose forwarded fields are believed. Source: the published ranges of
// the large CDNs, which have up to about twenty.
constexpr int kTrustMax = 64;
// Of a cookie or a header by which users are told apart, in bytes: names have 10 to 20.
constexpr std::size_t kStickyNameMax = 64;
// Of one route, in bytes. Longer ones are no prefixes, but pages.
constexpr int kRoutePathMax = 255;

// Releases.

// Copies that could run, per service: this one and two to go back to.
constexpr int kReleasesKept = 3;

// Faults on purpose.

// One lasts so long at most. Source: Datadog's chaos-controller.
constexpr Duration kFaultLimit = 1h;
// Longer than anybody waits.
constexpr Duration kFaultDelayMax = 60s;
// Of what one service is asked all faults together hurt so much, in thousandths, unless it is said
// that one may hurt everybody. Source: Gremlin and Steadybit, which leave half of what there is.
constexpr std::uint32_t kFaultShareMax = 500;
// Where a service with an `slo` burns its budget so many times too fast, faults on it end. Source:
// Google's SRE workbook, chapter 5, its fastest alert.
constexpr double kBurnTimes = 14.4;
// In such a time as a whole, and still at its end: the workbook's hour and five minutes, made short
// because a fault is.
constexpr Duration kBurnWindow = 10s;
// A second without an error: it burns no more.
constexpr Duration kBurnStillWindow = 1s;
// Fewer failures end nothing: they may be anybody's.
constexpr std::uint64_t kBurnFailuresMin = 10;

}  // namespace thole::model
