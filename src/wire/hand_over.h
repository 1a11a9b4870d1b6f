// What an edge says to the one that is to take its place, over the socket pair that keeper made for
// the two (decision 8): frames, with descriptors by SCM_RIGHTS.
//
//     new -> old  Hello          its own pidfd
//     old -> new  Refused        and that was all; or, once its workers wait:
//     old -> new  Offer          the segment, the pidfds of the old edge and of its holder
//     old -> new  Descriptors    some of its sockets, each with its number; any number of these
//     old -> new  AllSent
//
// Nothing more: whether the offer was taken stands in the segment. Who meets another version than
// its own, or what it does not expect, ends the link.
#pragma once

#include <cstdint>

namespace thole::wire {

constexpr std::uint32_t kHandOverVersion = 1;
constexpr std::uint32_t kDescriptorsAtOnce = 64;

enum class HandOverMessage : std::uint16_t {
    Hello = 1,
    Refused = 2,
    Offer = 3,
    Descriptors = 4,
    AllSent = 5,
};

struct HandOverHello {
    std::uint32_t version;
    std::uint32_t layout;  // Of the segment that it can live on.
    std::uint32_t pid;
    std::uint32_t reserved;
};
static_assert(sizeof(HandOverHello) == 16);

struct HandOverRefused {
    char reason[128];  // NUL-padded.
};

struct HandOverOffer {
    std::uint64_t offer;      // As Segment::lineage has it.
    std::int64_t since;       // No worker has moved a byte since then; CLOCK_BOOTTIME.
    std::uint32_t pid;        // Of the old edge.
    std::uint32_t free_from;  // All numbers that come are below.
};
static_assert(sizeof(HandOverOffer) == 24);

// The numbers that these descriptors had, and are to have again; -1 where there are fewer.
struct HandOverDescriptors {
    std::int32_t numbers[kDescriptorsAtOnce];
};
static_assert(sizeof(HandOverDescriptors) == 256);

struct HandOverAllSent {
    std::uint32_t count;
};

}  // namespace thole::wire
