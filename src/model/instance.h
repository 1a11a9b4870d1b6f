// One running copy of a release, as controllers see it.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"

namespace thole::model {

// Names one instance for ever: the slot's generation grows with each start.
struct InstanceId {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    bool operator==(const InstanceId&) const = default;
};

// "web-17.2"
std::string name_of(const std::string& service, InstanceId id);

enum class Stage : std::uint8_t {
    Starting,  // Asked for, or running and not ready yet.
    Ready,
    Leaving,  // It is to end: being drained, asked, or killed.
};

// What makes two instances of a service the same: its release, and how often everything was
// restarted by hand.
struct Version {
    std::uint32_t release = 0;
    std::uint32_t restart = 0;
    bool operator==(const Version&) const = default;
};

struct InstanceSeen {
    InstanceId id;
    Version version;
    Stage stage = Stage::Starting;
    Time since{};  // In this stage.
};

// How an instance ended.
struct End {
    bool is_known = true;          // False: nobody could wait for it.
    bool never_ran = false;        // It ended before its program began.
    std::int32_t wait_status = 0;  // As waitpid gives it.
    std::uint32_t oom_kills = 0;
    bool is_oom_known = false;  // False: nobody could read whether memory was wanting.
    bool operator==(const End&) const = default;
};

// Ended by somebody's SIGKILL or SIGTERM, not by itself and not by a lack of memory.
bool was_killed_from_outside(const End& end);
// "exit status 1", "SIGKILL, sender unknown, oom_kill unchanged", "SIGSEGV".
std::string describe(const End& end);

}  // namespace thole::model
