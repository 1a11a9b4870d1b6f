// Every default in one place, each with its unit (in the type), reason and source.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace thole::model {

using namespace std::chrono_literals;

// Requests. The limits are those that users of HAProxy, Envoy and nginx set after a bad night.
constexpr Duration kConnectLimit =
    1s;  // To an instance on the same machine: it answers in microseconds or never.
constexpr Duration kRequestHeadLimit = 10s;   // A whole head: slower is an attack (Slowloris).
constexpr Duration kResponseHeadLimit = 30s;  // Longer than a browser's user waits.
constexpr Duration kIdleLimit = 60s;          // Between requests, and each pause inside a body.
constexpr Duration kTunnelLimit = 1h;         // Silence in a tunnel or an event stream.
constexpr Duration kHoldLimit = 30s;  // A restart of a slow service fits; longer must be said.
constexpr std::uint32_t kHeldRequestsMax = 1000;
constexpr std::uint32_t kHeldBytesMax = 64 * 1024 * 1024;
constexpr Duration kLingerLimit =
    1s;  // RFC 9112 section 9.6: so that a last answer is not lost to a reset.
constexpr std::uint32_t kAttemptsMax =
    3;  // Of one request, each at another endpoint where there is one.

// Instances.
constexpr Duration kStartupLimit = 60s;  // Slow runtimes load in half of it.
constexpr Duration kStopGrace = 10s;     // From SIGTERM to SIGKILL, as Docker and Compose have it.
constexpr Duration kDrainLimit = 30s;    // For what is under way when an instance is to go.
constexpr Duration kSingleDrainLimit = 5s;    // The same where its successor waits for it.
constexpr Duration kRestartDelayMin = 100ms;  // Doubles with each failure in a row, with jitter.
constexpr Duration kRestartDelayMax = 30s;    // So long a crash loop waits at most.
constexpr Duration kRecoveredAfter = 10s;     // Ready for so long: earlier failures are forgotten.
constexpr Duration kProbePause = 100ms;       // Between two probes of one that starts.
constexpr Duration kProbeLimit = 1s;          // For one probe's answer.
constexpr int kScaleMax = 64;

// Releases.
constexpr int kReleasesKept =
    3;  // Copies that could run, per service: this one and two to go back to.

}  // namespace thole::model
