#include "model/instance.h"

#include <fmt/format.h>

#include <csignal>
#include <string_view>

namespace thole::model {
namespace {

// The bits of waitpid's answer, the same on every Linux: the low seven say which signal, the next
// eight the exit status.
int signal_of(std::int32_t wait_status) { return wait_status & 0x7f; }
int exit_of(std::int32_t wait_status) { return (wait_status >> 8) & 0xff; }

std::string_view signal_name(int number) {
    switch (number) {
        case SIGHUP: return "SIGHUP";
        case SIGINT: return "SIGINT";
        case SIGQUIT: return "SIGQUIT";
        case SIGILL: return "SIGILL";
        case SIGTRAP: return "SIGTRAP";
        case SIGABRT: return "SIGABRT";
        case SIGBUS: return "SIGBUS";
        case SIGFPE: return "SIGFPE";
        case SIGKILL: return "SIGKILL";
        case SIGSEGV: return "SIGSEGV";
        case SIGPIPE: return "SIGPIPE";
        case SIGALRM: return "SIGALRM";
        case SIGTERM: return "SIGTERM";
        case SIGXCPU: return "SIGXCPU";
        case SIGXFSZ: return "SIGXFSZ";
        case SIGSYS: return "SIGSYS";
        default: return {};
    }
}

// In the order of wire::SpawnStep.
std::string_view spawn_step(int step) {
    constexpr std::string_view kSteps[] = {
        "",
        "it was refused",
        "its image is missing or damaged",
        "no process could be made",
        "its slot was taken",
        "its cgroup could not be entered",
        "its output could not be opened",
        "its limits could not be set",
        "its user could not be taken on",
        "its folder could not be entered",
        "its program could not be started",
    };
    return step > 0 && step < 11 ? kSteps[step] : "it could not be started";
}

// The two that every shell gives for what it could not start (POSIX, 2.8.2).
std::string exit_text(int status) {
    const char* const meaning = status == 127   ? ": a program was not found"
                                : status == 126 ? ": a program may not be executed"
                                                : "";
    return fmt::format("exit status {}{}", status, meaning);
}

}  // namespace

std::string name_of(const std::string& service, InstanceId id) {
    return fmt::format("{}-{}.{}", service, id.slot, id.generation);
}

bool was_killed_from_outside(const End& end) {
    if (!end.is_known || end.never_ran || end.oom_kills > 0) return false;
    const int signal = signal_of(end.wait_status);
    return signal == SIGKILL || signal == SIGTERM;
}

std::string describe(const End& end) {
    if (!end.is_known) return "it ended while nobody could wait for it";
    if (end.never_ran) {
        const int error = end.wait_status & 0xffff;
        const std::string_view step = spawn_step(end.wait_status >> 16);
        switch (error) {
            case 0: return std::string(step);
            case 2: return fmt::format("{}: there is no such file", step);
            case 8: return fmt::format("{}: it is no program (is its first line missing?)", step);
            case 13: return fmt::format("{}: permission denied", step);
            default: return fmt::format("{} (errno {})", step, error);
        }
    }
    if (end.oom_kills > 0) return "killed for want of memory";
    const int signal = signal_of(end.wait_status);
    if (signal == 0) return exit_text(exit_of(end.wait_status));
    const std::string_view name = signal_name(signal);
    const std::string shown = name.empty() ? fmt::format("signal {}", signal) : std::string(name);
    if (was_killed_from_outside(end))
        return fmt::format("{}, sender unknown, oom_kill {}", shown,
                           end.is_oom_known ? "unchanged" : "unknown");
    return shown;
}

}  // namespace thole::model
