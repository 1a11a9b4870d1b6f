// The yardstick for a restart, and the least honest work that does one: waits for the death of one
// process by its pidfd and starts it again. It knows no ports, no limits and no back-off.
//
//     restarter <program> <argument>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/sockets.h"

int main(int count, char** words) {
    if (count != 3) return 2;
    std::puts("0");
    std::fflush(stdout);
    while (true) {
        pid_t child = 0;
        if (::posix_spawn(&child, words[1], nullptr, nullptr, words + 1, environ) != 0)
            thole::bench::die("posix_spawn");
        pollfd death{static_cast<int>(::syscall(SYS_pidfd_open, child, 0)), POLLIN, 0};
        while (::poll(&death, 1, -1) <= 0) {}
        ::close(death.fd);
        ::waitpid(child, nullptr, 0);
    }
}
