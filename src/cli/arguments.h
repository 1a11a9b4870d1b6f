// The words after `thole`, read by the table of commands (commands.h). Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace thole::cli {

struct OptionSpec {
    std::string_view name;   // Without the dashes.
    char letter = 0;         // 0: none.
    std::string_view value;  // What to call its value in help; empty: it takes none.
    std::string_view summary;
};

// What every command takes.
const std::vector<OptionSpec>& common_options();

struct Arguments {
    std::string command;
    std::vector<std::string> positionals;
    std::map<std::string, std::string, std::less<>> options;  // By name; empty for a mere switch.

    bool has(std::string_view name) const { return options.find(name) != options.end(); }
    // Empty where it is not given.
    std::string value(std::string_view name) const;
    // As a duration ("30s"), or `otherwise` where it is not given.
    Result<Duration> duration(std::string_view name, Duration otherwise) const;
};

// Finds the command's word (the first that is no option), then reads the rest by its table.
// `-h`, `--help` and `--version` become the commands help and version. No word at all: help.
Result<Arguments> read_arguments(const std::vector<std::string>& words);

// Of these names the one that was perhaps meant, or empty.
std::string nearest(std::string_view word, const std::vector<std::string_view>& names);

}  // namespace thole::cli
