// What the user sees. stdout is data and stderr is talk; --quiet silences talk, never problems.
// Colours only on a terminal, and not where NO_COLOR is set.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/outside.h"

namespace thole::cli {

enum class Colour { Red = 31, Green = 32, Yellow = 33, Blue = 34, Magenta = 35, Cyan = 36 };
enum class Loudness { Normal, Quiet };
enum class Form { People, Json };

class Console {
public:
    Console(Outside& outside, Form form, Loudness loudness)
        : outside_(outside), form_(form), loudness_(loudness) {}

    // Where it was named: a command that is to be tried names it, too.
    void set_folder(std::string folder) { folder_ = std::move(folder); }
    bool is_json() const { return form_ == Form::Json; }
    // Where somebody watches: a terminal, no --json, no --quiet.
    bool is_watched() const;
    // For lines of data.
    std::size_t width() const;

    // Whole lines, with or without the last line end.
    void data(std::string_view lines);
    void talk(std::string_view lines);
    // Also where talk is silenced.
    void problem(std::string_view lines);
    // "thole: what\n  try: this"; with --json the same as an object on stdout, too.
    void problem(const Error& error);

    // The text in this colour where this channel shows colours.
    std::string paint(Channel channel, Colour colour, std::string_view text) const;
    // Bytes of a service, as they are for a program and harmless for a terminal.
    std::string cleaned(Channel channel, std::string_view text) const;

    // Something could not be written: the exit code may not claim success.
    bool has_lost_output() const { return has_lost_output_; }

private:
    void write(Channel channel, std::string_view lines);
    std::string with_folder(std::string lines) const;
    Outside& outside_;
    Form form_;
    Loudness loudness_;
    std::string folder_;
    bool has_lost_output_ = false;
};

}  // namespace thole::cli
