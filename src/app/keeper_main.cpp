// The program lib/thole/keeper: `start`, and what it starts, `watch` and `run`. Static, and links
// nothing of thole that it does not call.
#include <signal.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "keeper/keeper.h"
#include "keeper/options.h"
#include "keeper/start.h"
#include "keeper/watch.h"

#ifdef THOLE_COUNT_ALLOCATIONS
// The linker sends every call of these here (--wrap): proof that keeper's loop makes none.
static std::uint64_t allocations = 0;
extern "C" {
void* __real_malloc(std::size_t size);
void* __real_calloc(std::size_t count, std::size_t size);
void* __real_realloc(void* at, std::size_t size);
void* __wrap_malloc(std::size_t size) {
    ++allocations;
    return __real_malloc(size);
}
void* __wrap_calloc(std::size_t count, std::size_t size) {
    ++allocations;
    return __real_calloc(count, size);
}
void* __wrap_realloc(void* at, std::size_t size) {
    ++allocations;
    return __real_realloc(at, size);
}
}
#endif

int main(int count, char** arguments) {
    // Whoever started us may have ignored it (that outlives exec): then no end of a child is told.
    ::signal(SIGCHLD, SIG_DFL);
    static thole::keeper::Options options;
    const char* const verb = count > 1 ? arguments[1] : "";
    if (!thole::keeper::read_options(count > 2 ? count - 2 : 0, arguments + 2, options)) return 2;
#ifdef THOLE_COUNT_ALLOCATIONS
    thole::keeper::count_allocations = [] { return allocations; };
#endif
    if (std::strcmp(verb, "start") == 0) return thole::keeper::run_start(options);
    if (std::strcmp(verb, "watch") == 0) return thole::keeper::run_watch(options);
    if (std::strcmp(verb, "run") == 0) return thole::keeper::run_keeper(options);
    std::fprintf(stderr, "keeper: start | watch | run, with --run, --data and --binaries\n");
    return 2;
}
