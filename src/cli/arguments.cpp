#include "cli/arguments.h"

#include <fmt/format.h>

#include "base/parse.h"
#include "cli/commands.h"

namespace thole::cli {
namespace {

const OptionSpec* find_option(const std::vector<OptionSpec>& options, std::string_view name) {
    for (const OptionSpec& option : options) {
        if (option.name == name) return &option;
    }
    return nullptr;
}

const OptionSpec* find_letter(const std::vector<OptionSpec>& options, char letter) {
    for (const OptionSpec& option : options) {
        if (option.letter == letter) return &option;
    }
    return nullptr;
}

std::vector<OptionSpec> options_of(const Command* command) {
    std::vector<OptionSpec> options = common_options();
    if (command != nullptr) {
        options.insert(options.end(), command->options.begin(), command->options.end());
    }
    return options;
}

// "thole ps", or "thole" where no command is known yet.
std::string spoken(const Command* command) {
    return command == nullptr ? "thole" : fmt::format("thole {}", command->name);
}

// What every command will take, and none takes yet.
constexpr std::string_view kLaterOptions[] = {"to", "watch"};

Error unknown_option(const std::string& word, const Command* command) {
    std::vector<std::string_view> names;
    for (const OptionSpec& option : options_of(command)) names.push_back(option.name);
    const std::string_view bare =
        std::string_view(word).substr(std::min<std::size_t>(2, word.size()));
    const std::string_view name = bare.substr(0, bare.find('='));
    const std::string near = nearest(name, names);
    const std::string help =
        command == nullptr ? "thole help" : fmt::format("thole help {}", command->name);
    for (const std::string_view later : kLaterOptions) {
        if (name == later && word.starts_with("--"))
            return invalid(fmt::format("not yet: --{} is not built", name)).with_hint(help);
    }
    return invalid(fmt::format("{} has no option '{}'", spoken(command), word))
        .with_hint(near.empty() ? help : fmt::format("{} --{}", spoken(command), near));
}

// Reads words one after another.
class Reader {
public:
    explicit Reader(const std::vector<std::string>& words) : words_(words) {}

    Result<Arguments> read() {
        while (at_ < words_.size()) {
            const std::string& word = words_[at_++];
            if (are_options_over_ || word.size() < 2 || word[0] != '-') {
                TRY(take_word(word));
            } else if (word == "--") {
                are_options_over_ = true;
            } else {
                TRY(take_option(word));
            }
        }
        return finish();
    }

private:
    Status take_word(const std::string& word) {
        if (command_ != nullptr) {
            read_.positionals.push_back(word);
            return success();
        }
        command_ = find_command(word);
        if (command_ == nullptr) return no_command(word);
        read_.command = word;
        return success();
    }

    Status take_option(const std::string& word) {
        const std::vector<OptionSpec> options = options_of(command_);
        const bool is_long = word[1] == '-';
        const std::size_t equals = is_long ? word.find('=') : std::string::npos;
        const OptionSpec* const option =
            is_long            ? find_option(options, std::string_view(word).substr(2, equals - 2))
            : word.size() == 2 ? find_letter(options, word[1])
                               : nullptr;
        if (option == nullptr) return unknown_option(word, command_);
        std::string value;
        if (option->value.empty()) {
            if (equals != std::string::npos) {
                return invalid(fmt::format("--{} takes no value", option->name));
            }
        } else if (equals != std::string::npos) {
            value = word.substr(equals + 1);
        } else if (at_ < words_.size()) {
            value = words_[at_++];
        } else {
            return invalid(fmt::format("--{} needs a value: {}", option->name, option->value))
                .with_hint(
                    fmt::format("{} --{} {}", spoken(command_), option->name, option->value));
        }
        read_.options[std::string(option->name)] = value;
        return success();
    }

    Result<Arguments> finish() {
        if (read_.has("help") || (command_ == nullptr && !read_.has("version"))) {
            if (command_ != nullptr && read_.command != "help") read_.positionals = {read_.command};
            read_.command = "help";
            return read_;
        }
        if (command_ == nullptr) {
            read_.command = "version";
            return read_;
        }
        const std::size_t count = read_.positionals.size();
        if (command_->positionals_min <= count && count <= command_->positionals_max) return read_;
        return invalid(fmt::format("thole {} {}", command_->name,
                                   count < command_->positionals_min
                                       ? "needs more words"
                                       : fmt::format("knows nothing of '{}'",
                                                     read_.positionals[command_->positionals_max])))
            .with_hint(fmt::format("thole {}", command_->usage));
    }

    const std::vector<std::string>& words_;
    std::size_t at_ = 0;
    bool are_options_over_ = false;
    const Command* command_ = nullptr;
    Arguments read_;
};

}  // namespace

const std::vector<OptionSpec>& common_options() {
    static const std::vector<OptionSpec> options = {
        {"folder", 0, "<path>", "The folder that holds thole.yaml (default: this one)"},
        {"json", 0, "", "One JSON object on stdout; one a line where it streams"},
        {"timeout", 0, "<duration>", "How long to wait: 30s, 5m"},
        {"quiet", 'q', "", "No talk on stderr but problems"},
        {"help", 'h', "", "What the command does and takes"},
        {"version", 0, "", "The same as: thole version"},
    };
    return options;
}

std::string Arguments::value(std::string_view name) const {
    const auto found = options.find(name);
    return found == options.end() ? std::string() : found->second;
}

Result<Duration> Arguments::duration(std::string_view name, Duration otherwise) const {
    if (!has(name)) return otherwise;
    Result<Duration> read = parse_duration(value(name));
    if (read.ok()) return read;
    return std::move(read)
        .error()
        .within(fmt::format("--{}", name))
        .with_hint(fmt::format("thole {} --{} 30s", command, name));
}

Result<Arguments> read_arguments(const std::vector<std::string>& words) {
    return Reader(words).read();
}

std::string nearest(std::string_view word, const std::vector<std::string_view>& names) {
    std::string_view best;
    std::size_t least = 3;  // Two slips at most, and fewer than half of the word.
    for (const std::string_view name : names) {
        const std::size_t distance = edit_distance(word, name);
        if (distance < least && distance * 2 <= name.size()) {
            least = distance;
            best = name;
        }
    }
    return std::string(best);
}

}  // namespace thole::cli
