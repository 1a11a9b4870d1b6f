// What control remembers of a system, as rows: the store keeps them, the world is made of them.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"

namespace thole::model {

// A manifest as it was applied. Kept as long as a release refers to it: the command, environment
// and calls of a release are read from here again.
struct ManifestRow {
    std::int64_t revision = 0;  // Grows by one with each that is applied.
    std::string folder;
    std::string text;
    WallTime applied{};
    bool operator==(const ManifestRow&) const = default;
};

struct ServiceRow {
    std::uint32_t id = 0;  // Never used again for another name.
    std::string name;
    std::uint32_t uid = 0;      // 0: as thole itself.
    std::uint32_t serving = 0;  // Number of the release that was proven last; 0: none yet.
    std::uint32_t wanted = 0;  // Number of the release that is to run; differs while a deploy goes.
    std::int32_t scale = -1;   // By `thole scale`, until the manifest changes it; -1: its own.
    std::uint32_t restart = 0;  // Grows with each `thole restart`: older instances are replaced.
    bool is_removed = false;
    bool operator==(const ServiceRow&) const = default;
};

enum class ReleaseStatus : std::uint8_t {
    Staging = 1,
    Built = 2,
    Broken = 3,
    Reversed = 4,
    Removed = 5
};

struct ReleaseRow {
    std::uint32_t service = 0;
    std::uint32_t number = 0;  // v1, v2, … per service.
    std::string digest;
    std::int64_t revision = 0;  // Of the manifest that tells its command.
    ReleaseStatus status = ReleaseStatus::Staging;
    std::string reason;  // Broken, Reversed: why.
    WallTime made{};
    bool operator==(const ReleaseRow&) const = default;
};

// A slot belongs to one service for as long as the system lives: its spool goes on with it.
struct SlotRow {
    std::uint32_t slot = 0;
    std::uint32_t service = 0;
    std::uint32_t generation = 0;  // The last one that was used.
    bool is_build = false;         // Its builds run here, not its instances.
    bool operator==(const SlotRow&) const = default;
};

// Something irreversible that was decided: the instance is to end, for this reason. Removed when it
// has.
struct IntentRow {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::string reason;
    bool operator==(const IntentRow&) const = default;
};

struct ListenerRow {
    std::uint32_t id = 0;
    std::uint32_t service = 0;          // Who answers.
    std::uint32_t caller = 0xffffffff;  // A service, or none: a public route.
    std::uint32_t address = 0;          // IPv4, host byte order.
    std::uint16_t port = 0;             // 0: not known yet.
    bool operator==(const ListenerRow&) const = default;
};

// Its requests wait at the edge because somebody said so.
struct PauseRow {
    std::uint32_t service = 0;
    bool is_on = true;  // False: it has ended, and the edge has not said yet that it knows.
    WallTime since{};
    std::int64_t limit_ns = 0;  // So long after it ends by itself; 0: never.
    std::string author;         // In words: who asked for it.
    bool operator==(const PauseRow&) const = default;
};

// Which release of a service takes which part of its requests.
struct SharesRow {
    std::uint32_t service = 0;
    std::int64_t salt_low = 0;  // Who goes where, as 64 bits each.
    std::int64_t salt_high = 0;
    std::string parts;  // "2:10 1:990": releases and thousandths, the newest first.
    bool operator==(const SharesRow&) const = default;
};

struct TimelineRow {
    std::int64_t sequence = 0;  // Grows by one.
    WallTime time{};
    std::string kind;      // "instance ready", "deploy done": two words at most, for filters.
    std::string service;   // Empty: of the system.
    std::string instance;  // "web-3.2": slot and generation; empty: of the service.
    std::string text;      // What happened and why, for people.
    bool operator==(const TimelineRow&) const = default;
};

// Single numbers that outlive control.
struct NumberRow {
    std::string name;
    std::int64_t value = 0;
    bool operator==(const NumberRow&) const = default;
};

}  // namespace thole::model
