#include "edge/leases.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

#include "model/defaults.h"

namespace thole::edge {
namespace {

constexpr std::int64_t kDelayNsMax = Duration(model::kFaultDelayMax).count();
constexpr std::uint64_t kRateMax = 1'000'000'000;  // Bytes a second.

template <std::size_t Size>
std::string_view text_of(const char (&chars)[Size]) {
    return {chars, ::strnlen(chars, Size)};
}

bool fits(const wire::FaultTerms& terms, const FaultFacts& facts) {
    if (terms.service != facts.service) return false;
    if (terms.caller != wire::kAnyCaller && terms.caller != facts.caller) return false;
    const std::string_view name = text_of(terms.field);
    if (name.empty()) return true;
    const http::Field* const field = facts.head.find(name);
    return field != nullptr && field->value == text_of(terms.value);
}

bool is_partition(const wire::FaultTerms& terms) {
    return terms.kind == wire::FaultKind::Partition;
}

Status check(const wire::FaultTerms& terms, std::int64_t now_ns) {
    const auto kind = terms.kind;
    const bool has_rate = kind == wire::FaultKind::SlowBody || kind == wire::FaultKind::Bandwidth;
    if (terms.share < 1 || terms.share > 1000) return invalid("share: must be 0.1 % to 100 %");
    if (!wire::is_sound(terms)) return invalid("no such fault");
    if (kind == wire::FaultKind::Abort && (terms.status < 400 || terms.status > 599))
        return invalid("abort: must be a status from 400 to 599");
    if (kind == wire::FaultKind::Delay && (terms.delay < 1 || terms.delay > kDelayNsMax ||
                                           terms.jitter < 0 || terms.jitter > terms.delay))
        return invalid("delay: must be up to 60 s, and its jitter no more than that");
    if (has_rate && (terms.rate < 1 || terms.rate > kRateMax))
        return invalid("rate: must be 1 B/s to 1 GB/s");
    if (is_partition(terms) && (terms.caller == wire::kAnyCaller || terms.share != 1000 ||
                                terms.field[0] != 0 || is_aimed(terms)))
        return invalid("a partition is between two services, of all that one asks the other");
    if (terms.until > now_ns + Duration(model::kFaultLimit).count())
        return invalid("a fault lasts an hour at most");
    return success();
}

// Of those that are on, and may not hurt everybody.
std::uint32_t share_of(const Leases& leases, std::uint32_t service, std::int64_t now_ns) {
    std::uint32_t sum = 0;
    for (const LeaseEntry& entry : leases.entries) {
        if (entry.id != 0 && now_ns < entry.until_ns && entry.terms.service == service &&
            (entry.terms.flags & wire::kFaultWhole) == 0)
            sum += entry.terms.share;
    }
    return sum;
}

}  // namespace

FaultChoice choose_fault(const Leases& leases, const FaultFacts& facts, std::int64_t now_ns,
                         std::uint32_t drawn) {
    FaultChoice choice;
    std::uint32_t from = 0;
    std::uint32_t bounded = 0;
    std::uint64_t live = leases.live.load(std::memory_order_acquire);
    for (; live != 0; live &= live - 1) {
        const auto place = static_cast<std::uint32_t>(std::countr_zero(live));
        const LeaseEntry& entry = leases.entries[place];
        if (entry.id.load(std::memory_order_acquire) == 0) continue;
        if (now_ns >= entry.until_ns.load(std::memory_order_relaxed) || !fits(entry.terms, facts))
            continue;
        choice.matched |= std::uint64_t{1} << place;
        std::uint32_t share = entry.terms.share;
        // Also where what was let in was more than that.
        if ((entry.terms.flags & wire::kFaultWhole) == 0) {
            share = std::min(share, model::kFaultShareMax - bounded);
            bounded += share;
        }
        if (drawn >= from && drawn < from + share) choice.place = place;
        from += share;
    }
    return choice;
}

bool is_aimed(const wire::FaultTerms& terms) {
    return terms.release != 0 || terms.slot != wire::kAnySlot;
}

bool hits(const wire::FaultTerms& terms, std::uint32_t slot, std::uint32_t release) {
    return (terms.release == 0 || terms.release == release) &&
           (terms.slot == wire::kAnySlot || terms.slot == slot);
}

const LeaseEntry* find_partition(const Leases& leases, std::uint32_t service, std::uint32_t caller,
                                 std::int64_t now_ns) {
    std::uint64_t live = leases.live.load(std::memory_order_acquire);
    for (; live != 0; live &= live - 1) {
        const LeaseEntry& entry = leases.entries[std::countr_zero(live)];
        if (entry.id.load(std::memory_order_acquire) != 0 && is_partition(entry.terms) &&
            now_ns < entry.until_ns.load(std::memory_order_relaxed) &&
            entry.terms.service == service && entry.terms.caller == caller)
            return &entry;
    }
    return nullptr;
}

const LeaseEntry* find_lease(const Leases& leases, std::uint32_t id, std::int64_t now_ns) {
    if (id == 0) return nullptr;
    for (const LeaseEntry& entry : leases.entries) {
        if (entry.id.load(std::memory_order_acquire) == id)
            return now_ns < entry.until_ns.load(std::memory_order_relaxed) ? &entry : nullptr;
    }
    return nullptr;
}

Result<std::uint32_t> admit_lease(Leases& leases, const wire::FaultTerms& terms,
                                  std::int64_t now_ns) {
    for (LeaseEntry& entry : leases.entries) {
        if (entry.id == 0 || entry.id != terms.id) continue;
        const std::int64_t until_ns = std::max(terms.until, now_ns);
        if (until_ns < entry.until_ns) entry.until_ns = until_ns;
        return kNoLease;
    }
    if (terms.until <= now_ns) return kNoLease;
    TRY(check(terms, now_ns));
    const std::uint32_t before = share_of(leases, terms.service, now_ns);
    if ((terms.flags & wire::kFaultWhole) == 0 && before + terms.share > model::kFaultShareMax)
        return invalid(fmt::format(
            "{} % of what it is asked would be hurt; more than {} % has to be said",
            static_cast<double>(before + terms.share) / 10, model::kFaultShareMax / 10));
    std::uint32_t oldest = kNoLease;
    for (std::uint32_t place = 0; place < kLeasesMax; ++place) {
        const LeaseEntry& entry = leases.entries[place];
        if (entry.id == 0) return place;
        const bool is_over = now_ns >= entry.until_ns;
        if (is_over && (oldest == kNoLease || entry.until_ns < leases.entries[oldest].until_ns))
            oldest = place;
    }
    if (oldest == kNoLease) return overload(fmt::format("{} faults are on", kLeasesMax));
    return oldest;
}

void forget_lease(Leases& leases, std::uint32_t place) {
    leases.live.fetch_and(~(std::uint64_t{1} << place));
    leases.entries[place].id.store(0, std::memory_order_release);
}

void put_lease(Leases& leases, std::uint32_t place, const wire::FaultTerms& terms,
               std::int64_t now_ns) {
    LeaseEntry& entry = leases.entries[place];
    entry.terms = terms;
    entry.begun_ns = now_ns;
    entry.until_ns = terms.until;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    entry.id.store(terms.id, std::memory_order_release);
    refresh_leases(leases, now_ns);
}

void refresh_leases(Leases& leases, std::int64_t now_ns) {
    std::uint64_t live = 0;
    for (std::uint32_t place = 0; place < kLeasesMax; ++place) {
        const LeaseEntry& entry = leases.entries[place];
        if (entry.id != 0 && now_ns < entry.until_ns) live |= std::uint64_t{1} << place;
    }
    leases.live.store(live, std::memory_order_release);
}

}  // namespace thole::edge
