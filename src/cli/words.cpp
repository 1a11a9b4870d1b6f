// `thole version` and `thole help`.
#include <fmt/format.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/version.h"

namespace thole::cli {
namespace {

constexpr std::pair<Group, std::string_view> kGroups[] = {
    {Group::Ship, "ship"}, {Group::See, "see"}, {Group::Prove, "prove"}, {Group::Keep, "keep"}};

std::string indented(const std::string& lines) {
    std::string out;
    std::size_t begin = 0;
    while (begin < lines.size()) {
        const std::size_t end = lines.find('\n', begin);
        out += "  " + lines.substr(begin, end - begin) + "\n";
        begin = end == std::string::npos ? lines.size() : end + 1;
    }
    return out;
}

// Rows without a head.
std::string pairs(const std::vector<std::vector<std::string>>& rows) {
    const std::string lines = lay_out({.head = {"", ""}, .rows = rows}, kAnyWidth);
    return indented(lines.substr(lines.find('\n') + 1));
}

std::string option_form(const OptionSpec& option) {
    return fmt::format("{}--{}{}{}", option.letter == 0 ? "" : fmt::format("-{}, ", option.letter),
                       option.name, option.value.empty() ? "" : " ", option.value);
}

std::string all_options(const std::vector<OptionSpec>& options) {
    std::vector<std::vector<std::string>> rows;
    for (const OptionSpec& option : options) {
        rows.push_back({option_form(option), std::string(option.summary)});
    }
    return pairs(rows);
}

std::string overview() {
    std::string out =
        "thole runs the services of thole.yaml on this machine and keeps them running.\n";
    for (const auto& [group, title] : kGroups) {
        std::vector<std::vector<std::string>> rows;
        for (const Command& command : all_commands()) {
            if (command.group != group) continue;
            rows.push_back({std::string(command.name), std::string(command.summary)});
        }
        // A group that holds nothing yet promises nothing.
        if (!rows.empty()) out += fmt::format("\n{}\n{}", title, pairs(rows));
    }
    return out + "\nevery command\n" + all_options(common_options()) +
           "\nMore about one: thole help <command>\n";
}

std::string page(const Command& command) {
    std::string out = fmt::format("thole {}\n\n{}.\n", command.usage, command.summary);
    if (!command.story.empty()) out += fmt::format("{}\n", command.story);
    if (!command.options.empty()) out += "\n" + all_options(command.options);
    return out + "\nevery command\n" + all_options(common_options());
}

}  // namespace

Result<int> help(const Arguments& arguments, Client&, Console& console) {
    if (arguments.positionals.empty()) {
        console.data(overview());
        return kServing;
    }
    const Command* const command = find_command(arguments.positionals[0]);
    if (command == nullptr) return no_command(arguments.positionals[0]);
    console.data(page(*command));
    return kServing;
}

Result<int> version(const Arguments&, Client& client, Console& console) {
    client.set_patience(Duration(0));
    const Result<std::string> control =
        client.is_there() ? client.get("/api/v1/version") : client.nothing_runs();
    if (console.is_json()) {
        JsonWriter w;
        w.begin_object().member("format", 1).member("version", kVersion).key("control");
        console.data(w.raw(control.ok() ? *control : "null").end_object().take());
        return kServing;
    }
    console.data(fmt::format("thole {}", kVersion));
    if (!control.ok()) return kServing;
    const Json read = TRY(read_answer(*control));
    console.data(fmt::format("control {}, pid {}", read.text_at("version").value_or("?"),
                             read.integer_at("pid").value_or(0)));
    return kServing;
}

}  // namespace thole::cli
