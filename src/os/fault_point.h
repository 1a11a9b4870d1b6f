// Numbered places at which a test may kill the process that comes by: between an effect and its
// record. Compiled only with THOLE_FAULTS (presets ci and faults), else nothing at all; never in a
// release. Allocates nothing and takes no lock: safe between fork and exec.
//
// What is to die, and when, stands in a file that the test maps, too; its path is in the
// environment, THOLE_FAULT_FILE. Without one nothing happens.
#pragma once

#include <cstdint>

namespace thole::os {

struct FaultFile {
    std::int64_t countdown;  // The visit that brings it to 0 dies. 0 or below: nobody does.
    std::uint64_t visits;    // Of all places and processes, those below only.
    char place[64];          // Only at this one, by name; empty: at any.
    std::uint32_t died_pid;  // Who died last, written before the deed,
    std::uint32_t reserved;
    char died_at[64];  // and where.
};
static_assert(sizeof(FaultFile) == 152);

#ifdef THOLE_FAULTS
void fault_point(const char* place);
#define FAULT_POINT(place) ::thole::os::fault_point(place)
#else
#define FAULT_POINT(place) static_cast<void>(0)
#endif

}  // namespace thole::os
