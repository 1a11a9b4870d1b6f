// Spools: one sparse append-only file per slot and stream. keeper keeps room allocated past the
// end, so that a full disk does not stop a service from logging at once, and punches out the oldest
// beyond the cap. Offsets never move. Where the file system knows no holes, a spool beyond the cap
// is emptied: what it held is lost, and counted.
#pragma once

#include <cstdint>

namespace thole::keeper {

// Of one slot's stdout or stderr, the oldest goes first: enough to read after a bad night, and a
// hundred slots fit a small disk.
constexpr std::uint64_t kSpoolBytesMax = 64 * 1024 * 1024;
// Beyond the cap: trimmed in pieces, not at every line.
constexpr std::uint64_t kSpoolSlackBytes = 4 * 1024 * 1024;
// Grown so much in one turn it is looked at again soon, or it would pass its cap.
constexpr std::uint64_t kSpoolFloodBytes = 4 * 1024 * 1024;
// Kept allocated past the end: a full disk does not stop a service from logging at once.
constexpr std::uint64_t kSpoolAheadBytes = 256 * 1024;
// Past this offset it starts again at 0: far below what a file system allows.
constexpr std::uint64_t kSpoolRestartBytes = 1ULL << 40;

// What to do with a spool of this size whose first `punched` bytes are gone.
struct SpoolWork {
    bool start_again = false;
    std::uint64_t punch_to = 0;     // Free everything before; 0: nothing.
    std::uint64_t allocate_to = 0;  // Keep allocated up to here; 0: nothing.
};
enum class Holes : std::uint8_t { Known, Unknown };
SpoolWork plan_spool(std::uint64_t size, std::uint64_t punched, std::uint64_t allocated,
                     Holes holes = Holes::Known);

// One spool of keeper's; the descriptor is its own, opened for appending.
struct Spool {
    int fd = -1;
    std::uint64_t punched = 0;
    std::uint64_t allocated = 0;
    std::uint64_t size = 0;  // When it was last looked at.
    Holes holes = Holes::Known;
};

// Opens or makes it, and tries whether it can have holes; false with errno set.
bool open_spool(const char* path, Spool& spool);
void close_spool(Spool& spool);
// Takes over a spool that was trimmed before: finds where its data begins. What a keeper punched
// out and did not live to count is counted now.
void adopt_spool(Spool& spool, std::uint64_t& dropped_bytes);
// Does what plan_spool says; adds what was dropped to `dropped_bytes`. Flood: it grew so much since
// the last time that it wants to be looked at again soon.
enum class Trimmed { Calm, Flood };
Trimmed trim_spool(Spool& spool, std::uint64_t& dropped_bytes);

}  // namespace thole::keeper
