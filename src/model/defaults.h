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
// Of one request, each at another endpoint where there is one: more would be a storm. Only what no
// instance can have begun, or may be done twice, is tried again. Source: RFC 9110 section 9.2.2.
constexpr std::uint32_t kAttemptsMax = 3;
// Of requests that went well such a share is in access.log: enough to see what is usual. What did
// not end well, or was slow, is there always.
constexpr std::uint32_t kAccessSampleOneIn = 100;
// Slower than this a request is one whose user noticed.
constexpr Duration kAccessSlow = 1s;
// Of access.log; with the one before it twice as much. Some 40 000 requests each.
constexpr std::uint32_t kAccessFileBytes = 16 * 1024 * 1024;

// Instances.

// Slow runtimes load in half of it.
constexpr Duration kStartupLimit = 60s;
// From SIGTERM to SIGKILL. Source: docker stop and Compose's stop_grace_period.
constexpr Duration kStopGrace = 10s;
// For what is under way when an instance is to go: as long as an answer may take to begin.
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
// Of one manifest: public ports, and one for each caller and callee. The edge has room for those of
// two manifests, the one before and the next.
constexpr int kPortsMax = 512;

// Releases.

// Copies that could run, per service: this one and two to go back to.
constexpr int kReleasesKept = 3;

}  // namespace thole::model
