// What the edge refused, let go or only reported, by rule and route; in memory that outlives it.
// One writer a worker, any reader sums. One may be lost where the edge is killed, and none counts
// twice. Nothing of it is touched by a request that breaks no rule.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "wire/refusal.h"

namespace thole::edge {

// Rules of no answer: what is closed without a word, for want of time or room.
constexpr std::string_view kSlowHead = "EDGE-HEAD-SLOW";      // Not whole after its time.
constexpr std::string_view kSlowReader = "EDGE-READER-SLOW";  // Did not take its answer.
constexpr std::string_view kBodyLarge = "EDGE-BODY-LARGE";    // Its answer had begun.
// Idle, or its head not whole, and closed to make room for others.
constexpr std::string_view kDescriptorsShort = "EDGE-DESCRIPTORS";
// Its head not whole, and closed because buffers were short.
constexpr std::string_view kHalfHead = "EDGE-HEAD-HALF";
constexpr std::string_view kLargest = "EDGE-BODY-LARGEST";  // Reset, because they were very short.
constexpr std::string_view kAcceptPaused = "EDGE-PAUSE";    // Of taking in: how often.

// Of one worker. A listener stays as long as it is served, and a rule breaks few: so few places do.
constexpr std::uint32_t kRefusalsKept = 1024;

struct RefusalKey {
    wire::RefusalKind kind;
    std::uint32_t listener;
    std::uint32_t service;
    std::string_view rule;  // No longer than wire::kRuleIdMax.
};

struct RefusalEntry {
    std::atomic<std::uint32_t> is_used;  // Stored last: what is beside it never changes again.
    wire::RefusalKind kind;
    std::uint32_t listener;
    std::uint32_t service;
    char rule[wire::kRuleIdMax + 1];
    std::atomic<std::uint64_t> count;
};

struct Refusals {
    std::atomic<std::uint64_t> all;  // How many counts there were: whether there is news.
    // The last one is for what finds no place.
    RefusalEntry entries[kRefusalsKept];

    void count(const RefusalKey& key);
};

// "H1-CL-DUP" of "H1-CL-DUP", "EDGE-PATH-DOTS" of "EDGE-PATH-DOTS: a dot segment...", nothing of a
// text that names no rule.
std::string_view rule_in(std::string_view why);

}  // namespace thole::edge
