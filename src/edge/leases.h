// Faults on purpose, in memory that outlives the edge: which are on, and whom each hurts. A lease
// is over at its end by the clock, whatever else is broken: whoever goes by one compares, each
// time. Main writes, workers read. No end is ever put off, so nothing that is over comes again.
//
// Main writes the terms of a place only while it has no id and every worker has turned since; a
// worker that has found the id may read them. Pure but for the memory.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.h"
#include "http/head.h"
#include "wire/fault.h"

namespace thole::edge {

constexpr std::uint32_t kLeasesMax = 64;
constexpr std::uint32_t kNoLease = ~std::uint32_t{0};

struct LeaseEntry {
    std::atomic<std::uint32_t> id;  // 0: free. Stored last.
    std::uint32_t reserved;
    std::atomic<std::int64_t> until_ns;  // CLOCK_BOOTTIME; only ever earlier.
    std::int64_t begun_ns;
    wire::FaultTerms terms;  // But for its end.
};

// In the segment.
struct Leases {
    // A bit for each place that may be on: what a request costs where none is.
    std::atomic<std::uint64_t> live;
    LeaseEntry entries[kLeasesMax];
};

// Of each worker, by place; main zeroes them for another lease.
struct LeaseCounters {
    std::atomic<std::uint64_t> matched;
    std::atomic<std::uint64_t> hurt;
};

// What a request is, as far as leases go by it.
struct FaultFacts {
    std::uint32_t service;
    std::uint32_t caller;  // wire::kAnyCaller: from outside.
    const http::RequestHead& head;
};

struct FaultChoice {
    std::uint64_t matched = 0;       // A bit for each place that it fits.
    std::uint32_t place = kNoLease;  // Of the one that hurts it.
};

// Each request is hurt by one lease at most: `drawn`, 0 to 999, falls into the share of one of
// those that fit, side by side in the order of their places, or behind them.
FaultChoice choose_fault(const Leases& leases, const FaultFacts& facts, std::int64_t now_ns,
                         std::uint32_t drawn);

// It names a release or an instance: whether it hurts a request is known only when that one's
// instance has been chosen.
bool is_aimed(const wire::FaultTerms& terms);
bool hits(const wire::FaultTerms& terms, std::uint32_t slot, std::uint32_t release);
// One that is on and cuts off what one service asks the other.
const LeaseEntry* find_partition(const Leases& leases, std::uint32_t service, std::uint32_t caller,
                                 std::int64_t now_ns);

// The lease of this id, while it is on; else null.
const LeaseEntry* find_lease(const Leases& leases, std::uint32_t id, std::int64_t now_ns);

// Main's. Where a lease of this id is there, its end comes as much earlier as these terms say, and
// is all that they change. Else the place for it, whatever was there before is to be forgotten;
// kNoLease: nothing is to be done.
Result<std::uint32_t> admit_lease(Leases& leases, const wire::FaultTerms& terms,
                                  std::int64_t now_ns);
void forget_lease(Leases& leases, std::uint32_t place);
void put_lease(Leases& leases, std::uint32_t place, const wire::FaultTerms& terms,
               std::int64_t now_ns);
// Those that are over cost nothing any more.
void refresh_leases(Leases& leases, std::int64_t now_ns);

}  // namespace thole::edge
