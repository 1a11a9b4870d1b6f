// Loaded before libc (LD_PRELOAD): counts a program's allocations and the system calls that it
// makes through libc, without stopping it as strace does. The counts lie in a file mapped shared,
// $BENCH_COUNTS: a name of 24 bytes and a number of 8 for each, so that others read while it runs.
// What libc calls by itself is not seen; strace sees that.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

constexpr int kCountsMax = 32;

struct Count {
    char name[24];
    std::atomic<std::uint64_t> number;
};

Count before_mapping[kCountsMax];
Count* counts = before_mapping;

enum Place {
    kAllocations,
    kMainAllocations,
    kMainCalls,
    kread,
    kreadv,
    krecv,
    krecvmsg,
    kwrite,
    kwritev,
    ksend,
    ksendmsg,
    kepoll_wait,
    kepoll_ctl,
    kaccept4,
    kconnect,
    ksocket,
    ksetsockopt,
    kgetsockopt,
    kshutdown,
    kclose,
    kPlaces
};

constexpr const char* kNames[kPlaces] = {
    "allocations", "main allocations", "main calls", "read",     "readv",
    "recv",        "recvmsg",          "write",      "writev",   "send",
    "sendmsg",     "epoll_wait",       "epoll_ctl",  "accept4",  "connect",
    "socket",      "setsockopt",       "getsockopt", "shutdown", "close"};

// The main thread's apart: at the edge it serves nobody, and tells control of its counts every so
// often.
void add(Place place, Place main_place) {
    static thread_local const bool is_main __attribute__((tls_model("initial-exec"))) =
        ::syscall(SYS_gettid) == ::getpid();
    counts[is_main ? main_place : place].number.fetch_add(1, std::memory_order_relaxed);
}

void add_allocation() { add(kAllocations, kMainAllocations); }

template <typename Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

__attribute__((constructor)) void map_counts() {
    const char* const path = std::getenv("BENCH_COUNTS");
    if (path == nullptr) return;
    const int fd = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ::ftruncate(fd, sizeof(before_mapping)) != 0) return;
    void* const at =
        ::mmap(nullptr, sizeof(before_mapping), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return;
    for (int place = 0; place < kPlaces; ++place)
        std::strcpy(static_cast<Count*>(at)[place].name, kNames[place]);
    counts = static_cast<Count*>(at);
    next<int(int)>("close")(fd);
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) noexcept {
    add_allocation();
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
    add_allocation();
    return __libc_calloc(count, size);
}
void* realloc(void* block, std::size_t size) noexcept {
    add_allocation();
    return __libc_realloc(block, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
    add_allocation();
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) noexcept {
    add_allocation();
    *block = __libc_memalign(alignment, size);
    return *block == nullptr ? 12 : 0;
}

// COUNTED(result, name, (parameters), (arguments)): counts it, then lets libc do it.
#define COUNTED(result, name, parameters, arguments)              \
    result name parameters {                                      \
        static auto* const real = next<result parameters>(#name); \
        add(k##name, kMainCalls);                                 \
        return real arguments;                                    \
    }

COUNTED(ssize_t, read, (int fd, void* to, std::size_t size), (fd, to, size))
COUNTED(ssize_t, readv, (int fd, const iovec* parts, int count), (fd, parts, count))
COUNTED(ssize_t, recv, (int fd, void* to, std::size_t size, int flags), (fd, to, size, flags))
COUNTED(ssize_t, recvmsg, (int fd, msghdr* message, int flags), (fd, message, flags))
COUNTED(ssize_t, write, (int fd, const void* from, std::size_t size), (fd, from, size))
COUNTED(ssize_t, writev, (int fd, const iovec* parts, int count), (fd, parts, count))
COUNTED(ssize_t, send, (int fd, const void* from, std::size_t size, int flags),
        (fd, from, size, flags))
COUNTED(ssize_t, sendmsg, (int fd, const msghdr* message, int flags), (fd, message, flags))
COUNTED(int, epoll_wait, (int epoll, epoll_event* events, int most, int wait_ms),
        (epoll, events, most, wait_ms))
COUNTED(int, epoll_ctl, (int epoll, int what, int fd, epoll_event* event) noexcept,
        (epoll, what, fd, event))
COUNTED(int, accept4, (int fd, sockaddr* peer, socklen_t* size, int flags), (fd, peer, size, flags))
COUNTED(int, connect, (int fd, const sockaddr* to, socklen_t size), (fd, to, size))
COUNTED(int, socket, (int domain, int type, int protocol) noexcept, (domain, type, protocol))
COUNTED(int, setsockopt, (int fd, int level, int name, const void* value, socklen_t size) noexcept,
        (fd, level, name, value, size))
COUNTED(int, getsockopt, (int fd, int level, int name, void* value, socklen_t* size) noexcept,
        (fd, level, name, value, size))
COUNTED(int, shutdown, (int fd, int how) noexcept, (fd, how))
COUNTED(int, close, (int fd), (fd))
}
