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

void LearnedKeepAlive::told(std::string_view keep_alive) {
    constexpr std::string_view kName = "timeout=";
    const std::size_t at = keep_alive.find(kName);
    if (at == std::string_view::npos) return;
    std::int64_t seconds = 0;
    std::size_t digits = 0;
    for (const char c : keep_alive.substr(at + kName.size())) {
        if (c < '0' || c > '9' || digits == 6) break;
        seconds = seconds * 10 + (c - '0');
        ++digits;
    }
    if (digits > 0) told(seconds * 1'000'000'000);
}

void LearnedKeepAlive::closed_after(std::int64_t idle_ns) {
    limit_ns_ = std::min(limit_ns_, safe_part(idle_ns));
}

bool LearnedKeepAlive::may_reuse(std::int64_t idle_ns) const {
    return limit_ns_ >= kLeastNs && idle_ns < limit_ns_;
}

}  // namespace thole::edge
