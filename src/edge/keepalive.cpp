#include "edge/keepalive.h"

#include <algorithm>

namespace thole::edge {
namespace {

// The way to the server and its clock take some time, too: not past four fifths of what was seen.
std::int64_t safe_part(std::int64_t seen_ns) { return seen_ns / 5 * 4; }

}  // namespace

void LearnedKeepAlive::told(std::int64_t timeout_ns) {
    limit_ns_ = std::min(kDefaultNs, safe_part(timeout_ns));
}

void LearnedKeepAlive::closed_after(std::int64_t idle_ns) {
    limit_ns_ = std::min(limit_ns_, safe_part(idle_ns));
}

bool LearnedKeepAlive::may_reuse(std::int64_t idle_ns) const {
    return limit_ns_ >= kLeastNs && idle_ns < limit_ns_;
}

}  // namespace thole::edge
