// What exactly is executed for a command of the manifest, and with which environment. Pure.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "model/manifest.h"

namespace thole::control {

constexpr const char* kSearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// A list is taken as it is, its program looked for by `find_program` where it has no slash. A text
// runs under /bin/sh -c, by `exec` where it is one simple command: so the first process is the
// program itself, and SIGTERM reaches it.
std::vector<std::string> command_line(
    const model::Command& command,
    const std::function<std::string(const std::string&)>& find_program);

// The script that `npm start` (or `npm run start`) stands for, read from package.json; the command
// itself where it is something else, there is no such script, or npm would run others before or
// after it. So a service runs without npm, which passes no signal on.
bool is_npm_start(const model::Command& command);
// Where npm lets such a script look for programs: the packages' own before all others.
std::string npm_search_path(const std::string& folder);
model::Command without_npm(const model::Command& command, std::string_view package_json);

using Variables = std::vector<std::pair<std::string, std::string>>;
// "NAME=value", each name once: what comes later wins.
std::vector<std::string> environment_of(const Variables& variables);

}  // namespace thole::control
