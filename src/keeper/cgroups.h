// A cgroup (v2) of its own for each instance, where the machine lets us: identity, kill as one,
// out-of-memory counts. Without the right to make one everything here says so and does nothing.
// Allocates nothing.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "keeper/options.h"

namespace thole::keeper {

class Cgroups {
public:
    // Finds the hierarchy and makes our folder `thole-<name>` in it.
    void open(const char* name);
    bool available() const { return base_.text[0] != '\0'; }

    bool make(std::uint32_t slot) const;
    // The calling process moves into it; between fork and exec.
    bool enter(std::uint32_t slot) const;
    // Kills all that is in it.
    bool kill_all(std::uint32_t slot) const;
    // Signals all that is in it; false where there is no such cgroup.
    bool signal_all(std::uint32_t slot, int signal) const;
    bool has(std::uint32_t slot) const;
    // Neither in it nor in what an app made below it.
    bool is_empty(std::uint32_t slot) const;
    // False where it cannot be read: no cgroup, or one without the memory controller.
    bool read_oom_kills(std::uint32_t slot, std::uint32_t& count) const;
    // Empty ones only.
    bool remove(std::uint32_t slot) const;
    void close() const;

private:
    void file(std::uint32_t slot, const char* name, Path& path) const;
    bool is_in(pid_t pid, std::uint32_t slot) const;
    Path base_;
    Path name_;  // "/thole-<name>", as /proc/<pid>/cgroup has it near the end.
};

}  // namespace thole::keeper
