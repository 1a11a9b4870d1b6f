#include "edge/refusals.h"

#include <algorithm>
#include <cstring>

namespace thole::edge {
namespace {

constexpr auto kPlain = std::memory_order_relaxed;
constexpr std::uint32_t kPlacesTried = 64;
constexpr RefusalKey kOthers{wire::RefusalKind::Request, 0, wire::kNoSlot, "OTHER"};

std::string_view rule_of(const RefusalEntry& entry) { return entry.rule; }

bool is_of(const RefusalEntry& entry, const RefusalKey& key) {
    return entry.kind == key.kind && entry.listener == key.listener &&
           entry.service == key.service && rule_of(entry) == key.rule;
}

// FNV-1a.
std::uint32_t hash_of(const RefusalKey& key) {
    std::uint32_t hash = 2166136261U;
    const auto mix = [&hash](std::uint32_t value) { hash = (hash ^ value) * 16777619U; };
    mix(static_cast<std::uint32_t>(key.kind));
    mix(key.listener);
    mix(key.service);
    for (const char c : key.rule) mix(static_cast<unsigned char>(c));
    return hash;
}

void take(RefusalEntry& entry, const RefusalKey& key) {
    entry.kind = key.kind;
    entry.listener = key.listener;
    entry.service = key.service;
    std::memset(entry.rule, 0, sizeof(entry.rule));
    std::memcpy(entry.rule, key.rule.data(), std::min(key.rule.size(), wire::kRuleIdMax));
    entry.is_used.store(1, std::memory_order_release);
}

RefusalEntry& find(Refusals& in, const RefusalKey& key) {
    std::uint32_t at = hash_of(key);
    for (std::uint32_t tries = 0; tries < kPlacesTried; ++tries, ++at) {
        RefusalEntry& entry = in.entries[at % (kRefusalsKept - 1)];
        if (entry.is_used.load(kPlain) == 0) {
            take(entry, key);
            return entry;
        }
        if (is_of(entry, key)) return entry;
    }
    RefusalEntry& last = in.entries[kRefusalsKept - 1];
    if (last.is_used.load(kPlain) == 0) take(last, kOthers);
    return last;
}

}  // namespace

void Refusals::count(const RefusalKey& key) {
    std::atomic<std::uint64_t>& one = find(*this, key).count;
    one.store(one.load(kPlain) + 1, kPlain);
    all.store(all.load(kPlain) + 1, std::memory_order_release);
}

std::string_view rule_in(std::string_view why) {
    const bool is_rule = why.substr(0, 3) == "H1-" || why.substr(0, 5) == "EDGE-";
    return is_rule ? why.substr(0, why.find(':')) : std::string_view();
}

}  // namespace thole::edge
