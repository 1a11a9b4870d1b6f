// A service that starts as fast as one can: it writes its pid and when its main() began, in
// nanoseconds of CLOCK_MONOTONIC, as a line behind the file that it is given, and waits.
//
//     starter <file>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

#include "bench/sockets.h"

int main(int count, char** words) {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    if (count != 2) return 2;
    char line[64];
    const int size =
        std::snprintf(line, sizeof(line), "%d %lld\n", ::getpid(),
                      static_cast<long long>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
    const int file = ::open(words[1], O_WRONLY | O_APPEND | O_CLOEXEC);
    if (::write(file, line, static_cast<std::size_t>(size)) != size) thole::bench::die("write");
    while (true) ::pause();
}
