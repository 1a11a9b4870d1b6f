// The table of all commands, and of the words that are not built yet.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/console.h"

namespace thole::cli {

// Exit codes. They tell the truth about the service.
constexpr int kServing = 0;     // What should be is, and serves.
constexpr int kNotReached = 1;  // It is not; what changed is printed.
constexpr int kUsage = 2;       // The words or the manifest are wrong.
constexpr int kReversed = 3;    // The old release serves again.
constexpr int kDenied = 4;
constexpr int kUnreachable = 5;  // No daemon answers.
constexpr int kInProgress = 6;   // Still, when --timeout had passed.

enum class Group { Ship, See, Prove, Keep };

struct Command {
    std::string_view name;
    std::string_view usage;    // After `thole `.
    std::string_view summary;  // One line.
    std::string_view story;    // What else help tells; may be empty.
    Group group = Group::See;
    std::size_t positionals_min = 0;
    std::size_t positionals_max = 0;
    std::vector<OptionSpec> options = {};  // Besides the common ones.
    Result<int> (*run)(const Arguments&, Client&, Console&) = nullptr;
};

const std::vector<Command>& all_commands();
const Command* find_command(std::string_view name);
// For a word that is no command: "not yet" with the nearest that is built, or the one perhaps
// meant.
Error no_command(std::string_view word);

Result<int> up(const Arguments& arguments, Client& client, Console& console);
Result<int> ps(const Arguments& arguments, Client& client, Console& console);
Result<int> logs(const Arguments& arguments, Client& client, Console& console);
Result<int> timeline(const Arguments& arguments, Client& client, Console& console);
Result<int> metrics(const Arguments& arguments, Client& client, Console& console);
Result<int> why(const Arguments& arguments, Client& client, Console& console);
Result<int> restart(const Arguments& arguments, Client& client, Console& console);
Result<int> scale(const Arguments& arguments, Client& client, Console& console);
Result<int> pause(const Arguments& arguments, Client& client, Console& console);
Result<int> resume(const Arguments& arguments, Client& client, Console& console);
Result<int> fault(const Arguments& arguments, Client& client, Console& console);
Result<int> upgrade(const Arguments& arguments, Client& client, Console& console);
Result<int> down(const Arguments& arguments, Client& client, Console& console);
Result<int> version(const Arguments& arguments, Client& client, Console& console);
Result<int> help(const Arguments& arguments, Client& client, Console& console);

}  // namespace thole::cli
