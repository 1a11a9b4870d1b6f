#include "keeper/options.h"

#include <unistd.h>

#include <charconv>
#include <cstring>

namespace thole::keeper {
namespace {

// The whole text as a pid, or 0.
int read_pid(const char* text) {
    int pid = 0;
    const char* const end = text + std::strlen(text);
    const auto [rest, error] = std::from_chars(text, end, pid);
    return error == std::errc{} && rest == end && pid > 1 ? pid : 0;
}

bool says(const char* argument, const char* name) { return std::strcmp(argument, name) == 0; }

}  // namespace

bool read_options(int count, char** arguments, Options& options) {
    for (int i = 0; i < count; ++i) {
        const char* const name = arguments[i];
        if (i + 1 == count) {
            std::fprintf(stderr, "keeper: '%s' needs a value, or is unknown\n", name);
            return false;
        }
        const char* const value = arguments[++i];
        if (says(name, "--run")) {
            options.run.set("%s", value);
        } else if (says(name, "--data")) {
            options.data.set("%s", value);
        } else if (says(name, "--binaries")) {
            options.binaries.set("%s", value);
        } else if (says(name, "--parent")) {
            options.set_parent(read_pid(value));
        } else if (says(name, "--roles")) {
            options.runs_control = std::strstr(value, "control") != nullptr;
            options.runs_edge = std::strstr(value, "edge") != nullptr;
        } else {
            std::fprintf(stderr, "keeper: unknown option '%s'\n", name);
            return false;
        }
    }
    const Path* const needed[] = {&options.run, &options.data, &options.binaries};
    for (const Path* path : needed) {
        if (path->text[0] != '/' || !path->fits) {
            std::fprintf(stderr, "keeper: --run, --data and --binaries are absolute paths\n");
            return false;
        }
    }
    return true;
}

int Options::living_parent() const {
    const int pid = read_pid(parent);
    return ::getppid() == pid ? pid : 0;
}

void Options::set_parent(int pid) { std::snprintf(parent, sizeof(parent), "%d", pid); }

void write_arguments(const Options& options, const char* verb, const char** out) {
    static const char* const kRoles[] = {"none", "control", "edge", "control,edge"};
    const char* const roles = kRoles[(options.runs_control ? 1 : 0) + (options.runs_edge ? 2 : 0)];
    const char* const all[] = {"keeper",     verb,
                               "--run",      options.run.text,
                               "--data",     options.data.text,
                               "--binaries", options.binaries.text,
                               "--roles",    roles};
    for (const char* argument : all) *out++ = argument;
    if (options.has_link()) {
        *out++ = "--parent";
        *out++ = options.parent;
    }
    *out = nullptr;
}

}  // namespace thole::keeper
