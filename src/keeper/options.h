// What keeper and watch are started with. Fixed buffers: nothing here allocates.
#pragma once

#include <climits>
#include <cstdarg>
#include <cstdio>

namespace thole::keeper {

// A path built in place; `fits` tells whether all of it is there.
struct Path {
    char text[PATH_MAX] = {};
    bool fits = true;

    __attribute__((format(printf, 2, 3))) void set(const char* format, ...) {
        va_list arguments;
        va_start(arguments, format);
        const int length = std::vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        fits = length >= 0 && length < static_cast<int>(sizeof(text));
    }
};

struct Options {
    Path run;       // The run folder, on tmpfs.
    Path data;      // The data folder.
    Path binaries;  // Holds `thole` and `lib/thole/{keeper,edge}`.
    bool runs_control = true;
    bool runs_edge = true;
    // Who starts us, as a decimal number, where descriptor 3 is the link to it: keeper for watch,
    // watch for keeper. Asked of getppid() alone, an orphan would take its adopter for its partner,
    // and one day kill it.
    char parent[16] = {};
    bool has_link() const { return parent[0] != '\0'; }
    // The pid of `parent` while it is still our parent, else 0.
    int living_parent() const;
    void set_parent(int pid);
};

// Reads `--run R --data D --binaries B [--roles LIST] [--parent PID]`; false, with a line on
// stderr, where it is wrong.
bool read_options(int count, char** arguments, Options& options);
// The arguments to start ourselves again as `verb`, into `out` (room for 12), NULL at the end.
void write_arguments(const Options& options, const char* verb, const char** out);

}  // namespace thole::keeper
