#include "cli/run.h"

#include <algorithm>

#include "cli/commands.h"

namespace thole::cli {
namespace {

Result<int> run_command(const Arguments& arguments, Client& client, Console& console) {
    const Command* const command = find_command(arguments.command);
    CHECK(command != nullptr);
    // What changes something waits for its end for so long, not for a daemon that is away.
    if (command->group == Group::See) {
        client.set_patience(TRY(arguments.duration("timeout", kControlRestartLimit)));
    }
    return command->run(arguments, client, console);
}

// These say the same wherever they are called, also in a folder that is not there.
bool needs_no_folder(const Arguments& arguments) {
    return arguments.command == "help" || arguments.command == "version";
}

Result<Places> find_ours(Outside& outside, const Arguments& arguments) {
    const std::string folder = arguments.has("folder") ? arguments.value("folder") : ".";
    const Result<Places> places = find_places(outside, folder);
    if (needs_no_folder(arguments)) return places.ok() ? places : Places{};
    if (places.ok()) TRY(check_nobody_elses(outside, *places, arguments.command));
    return places;
}

}  // namespace

int exit_of(Code code, Answered answered) {
    switch (code) {
        case Code::Invalid:
        case Code::NotFound: return kUsage;
        case Code::Denied: return kDenied;
        case Code::Unavailable: return answered == Answered::Yes ? kNotReached : kUnreachable;
        case Code::Timeout: return kInProgress;
        case Code::Conflict:
        case Code::Overload:
        case Code::Corrupt: return kNotReached;
    }
    return kNotReached;
}

int run(Outside& outside, const std::vector<std::string>& words) {
    const Result<Arguments> arguments = read_arguments(words);
    // What is wrong with the words is said in the form that they ask for.
    const bool wants_json = std::find(words.begin(), words.end(), "--json") != words.end();
    const bool is_quiet = arguments.ok() && arguments->has("quiet");
    Console console(outside, wants_json ? Form::Json : Form::People,
                    is_quiet ? Loudness::Quiet : Loudness::Normal);
    if (!arguments.ok()) {
        console.problem(arguments.error());
        return kUsage;
    }
    console.set_folder(arguments->value("folder"));
    Result<Places> places = find_ours(outside, *arguments);
    if (!places.ok()) {
        console.problem(places.error());
        return exit_of(places.error().code, Answered::No);
    }
    Client client(outside, std::move(places).value());
    const Result<int> code = run_command(*arguments, client, console);
    if (!code.ok()) {
        console.problem(code.error());
        return exit_of(code.error().code, client.is_answered() ? Answered::Yes : Answered::No);
    }
    if (!console.has_lost_output()) return *code;
    console.problem(unavailable("not all that was to be written could be").with_hint("df ."));
    return std::max(*code, kNotReached);
}

}  // namespace thole::cli
