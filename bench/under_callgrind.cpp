// Loaded before libc (LD_PRELOAD) into an edge that callgrind runs. Valgrind knows no clone() of a
// process that shares its descriptors and no pidfd, which the edge's holder needs: a fork and a
// descriptor that never says anything stand in for them. Such an edge has no heir; nothing that
// carries a request is changed.
#include <dlfcn.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>

extern "C" long syscall(long number, ...) noexcept {
    std::va_list more;
    va_start(more, number);
    long words[6];
    for (long& word : words) word = va_arg(more, long);
    va_end(more);
    if (number == SYS_clone) return ::fork();
    if (number == SYS_pidfd_open) return ::eventfd(0, EFD_CLOEXEC);
    static auto* const real = reinterpret_cast<long (*)(long, ...)>(::dlsym(RTLD_NEXT, "syscall"));
    return real(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}
