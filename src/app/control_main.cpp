#include "app/control_main.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>

#include "app/keeper_guard.h"
#include "base/parse.h"
#include "control/control.h"
#include "keeper/open_files.h"
#include "model/defaults.h"
#include "os/fd.h"
#include "os/linux_env.h"
#include "wire/slots.h"

namespace thole::app {
namespace {

using namespace std::chrono_literals;

// keeper ends a role that has not turned for 5 s.
constexpr Duration kTick = 250ms;

wire::TicksPage* map_ticks(const std::string& run_folder) {
    const os::FileDescriptor fd(::open((run_folder + "/ticks").c_str(), O_RDWR | O_CLOEXEC));
    if (!fd.is_open()) return nullptr;
    void* const at =
        ::mmap(nullptr, sizeof(wire::TicksPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    return at == MAP_FAILED ? nullptr : static_cast<wire::TicksPage*>(at);
}

// Tests cannot wait half a minute for each tunnel.
Duration drain_limit() {
    const char* const asked = ::getenv("THOLE_DRAIN_LIMIT");
    return asked == nullptr ? model::kDrainLimit
                            : parse_duration(asked).value_or(model::kDrainLimit);
}

std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// The folder that our program is in, as it was when we began.
std::string binaries() {
    char path[PATH_MAX];
    const ssize_t size = ::readlink("/proc/self/exe", path, sizeof(path));
    const std::string own(path, size > 0 ? static_cast<std::size_t>(size) : 0);
    return own.substr(0, own.rfind('/'));
}

}  // namespace

int run_control(const std::string& run_folder, const std::string& data_folder) {
    ::signal(SIGPIPE, SIG_IGN);
    ::umask(022);
    keeper::raise_open_files();  // Each instance's port takes one of ours.
    wire::TicksPage* const ticks = map_ticks(run_folder);
    os::Loop loop;
    os::LinuxEnv env(loop);
    Result<std::unique_ptr<control::Control>> control =
        control::Control::start(env.env(), {.run = run_folder,
                                            .data = data_folder,
                                            .id = last_part(run_folder),
                                            .drain_limit = drain_limit()});
    if (!control) {
        std::fprintf(stderr, "control: %s\n", control.error().text().c_str());
        return 1;
    }
    KeeperGuard guard({.run = run_folder, .data = data_folder, .binaries = binaries()},
                      [&](std::string kind, std::string text) {
                          (*control)->tell(std::move(kind), std::move(text));
                      });
    env::Timer tick;
    const std::function<void()> beat = [&] {
        if (ticks != nullptr)
            __atomic_store_n(&ticks->last[static_cast<std::uint32_t>(wire::Role::Control)],
                             static_cast<std::uint64_t>(nanoseconds_of(os::boot_now())),
                             __ATOMIC_RELAXED);
        guard.look(nanoseconds_of(os::boot_now()));
    };
    std::function<void()> again = [&] {
        beat();
        tick = loop.after(kTick, [&] { again(); });
    };
    again();
    loop.run();
    return 0;
}

}  // namespace thole::app
