// Faults on purpose, as control asks the edge for them. Each is a lease: the edge ends it by its
// own clock, whoever else is dead by then. There is no message that makes one longer; saying it
// again with an earlier end makes it shorter, and an end that is past ends it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace thole::wire {

enum class FaultKind : std::uint32_t {
    Delay,      // The request waits so long before it goes to an instance.
    Abort,      // Answered with the status, in an instance's place.
    Reset,      // Its connection is reset.
    Hang,       // Nothing comes, until the time limit for an answer's head.
    SlowBody,   // The answer's body comes at the rate.
    Bandwidth,  // Both bodies, and tunnels both ways.
    // Between two services all is silent, what is under way, too: nothing passes, nothing ends. At
    // the end what is still there goes on.
    Partition,
    Count_,
};

enum FaultFlags : std::uint32_t {
    // It may hurt all that a service is asked; the others together half of it.
    kFaultWhole = 1
};

// Any caller.
constexpr std::uint32_t kAnyCaller = ~std::uint32_t{0};
// Any instance.
constexpr std::uint32_t kAnySlot = ~std::uint32_t{0};

// Texts are padded with NUL, at least one.
struct FaultTerms {
    std::uint32_t id;       // Control's, never used again; not 0.
    std::uint32_t service;  // Of what it is asked,
    std::uint32_t caller;   // by this service; or kAnyCaller, from outside, too.
    FaultKind kind;
    std::uint32_t share;  // Of what fits, in thousandths: 1 to 1000.
    std::uint32_t status;
    std::int64_t delay;   // Nanoseconds;
    std::int64_t jitter;  // so much more or less, each as likely.
    std::uint64_t rate;   // Bytes a second.
    std::int64_t until;   // Nanoseconds of CLOCK_BOOTTIME.
    std::uint32_t flags;  // FaultFlags
    // Aimed: only what goes to instances of this release; 0: any. Only what goes to whoever is in
    // this slot; or kAnySlot.
    std::uint32_t release;
    std::uint32_t slot;
    std::uint32_t reserved;
    char field[32];   // Only requests that have this field,
    char value[128];  // with just this value. Empty: all.
    char by[64];      // Who asked for it, and why: for people.
};
static_assert(sizeof(FaultTerms) == 296);

struct FaultRequest {
    std::uint64_t sequence;
    FaultTerms terms;
};

// In every worker.
struct FaultApplied {
    std::uint64_t sequence;
    std::uint32_t id;
    std::int32_t error;  // 0, or errno: it is not on.
    char reason[112];
};
static_assert(sizeof(FaultApplied) == 128);

// All that the edge knows of: those that are on, and those that have ended last. After Hello, and
// when something has changed.
struct FaultsHeader {
    std::uint64_t epoch;
    std::int64_t time;  // Nanoseconds of CLOCK_BOOTTIME.
    std::uint32_t count;
    std::uint32_t reserved;
};
struct FaultState {
    FaultTerms terms;
    std::int64_t begun;     // Nanoseconds of CLOCK_BOOTTIME.
    std::uint64_t matched;  // Requests that fitted; a death may have taken one of them.
    std::uint64_t hurt;     // Of these. Exact.
};
static_assert(sizeof(FaultState) == 320);

constexpr std::uint32_t kFaultIdMax = 1'000'000'000;
// A century: whatever is added to a time below it, or taken from it, stays a time.
constexpr std::int64_t kFaultTimeMax = 3'155'760'000'000'000'000;

// A text ends within its field, and is one line.
bool is_sound_text(const char* text, std::size_t size);
// Whether its kind, its texts and its numbers are some that may be read and calculated with;
// whether they make sense together is the edge's to say.
bool is_sound(const FaultTerms& terms);
bool is_sound(const FaultState& fault);

}  // namespace thole::wire
