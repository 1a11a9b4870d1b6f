#include "control/command_line.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/json.h"

namespace thole::control {
namespace {

// Words with which no program begins.
constexpr std::array<std::string_view, 26> kShellWords = {
    ".",    "!",    "{",    "[",     "[[",     "if",     "for",    "while", "until",
    "case", "cd",   "eval", "exec",  "exit",   "export", "set",    "unset", "trap",
    "read", "wait", "true", "false", "source", "umask",  "ulimit", "test"};

bool is_one_command(std::string_view text) {
    if (text.find_first_of(";&|()`\n<>") != std::string_view::npos) return false;
    const std::string_view first = text.substr(0, text.find_first_of(" \t"));
    if (first.empty() || first.find('=') != std::string_view::npos) return false;
    return std::find(kShellWords.begin(), kShellWords.end(), first) == kShellWords.end();
}

}  // namespace

std::vector<std::string> command_line(
    const model::Command& command,
    const std::function<std::string(const std::string&)>& find_program) {
    if (command.words.empty()) return {};
    if (command.is_shell) {
        const std::string& text = command.words.front();
        return {"/bin/sh", "-c", is_one_command(text) ? "exec " + text : text};
    }
    std::vector<std::string> words = command.words;
    if (words.front().find('/') == std::string::npos) {
        const std::string found = find_program(words.front());
        if (!found.empty()) words.front() = found;
    }
    return words;
}

bool is_npm_start(const model::Command& command) {
    const std::vector<std::string>& words = command.words;
    if (command.is_shell)
        return words.size() == 1 && (words[0] == "npm start" || words[0] == "npm run start");
    return words == std::vector<std::string>{"npm", "start"} ||
           words == std::vector<std::string>{"npm", "run", "start"};
}

std::string npm_search_path(const std::string& folder) {
    return folder + "/node_modules/.bin:" + kSearchPath;
}

model::Command without_npm(const model::Command& command, std::string_view package_json) {
    if (!is_npm_start(command)) return command;
    const Result<Json> package = parse_json(package_json);
    if (!package) return command;
    const Json* const scripts = package->find("scripts");
    const Json* const start = scripts == nullptr ? nullptr : scripts->find("start");
    if (scripts != nullptr &&
        (scripts->find("prestart") != nullptr || scripts->find("poststart") != nullptr))
        return command;
    if (start == nullptr || start->text() == nullptr || start->text()->empty()) return command;
    return {{*start->text()}, true};
}

std::vector<std::string> environment_of(const Variables& variables) {
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < variables.size(); ++i) {
        const bool comes_again =
            std::any_of(variables.begin() + static_cast<std::ptrdiff_t>(i) + 1, variables.end(),
                        [&](const auto& later) { return later.first == variables[i].first; });
        if (!comes_again) lines.push_back(variables[i].first + "=" + variables[i].second);
    }
    return lines;
}

}  // namespace thole::control
