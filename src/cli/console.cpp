#include "cli/console.h"

#include <fmt/format.h>

#include "base/json.h"
#include "cli/printable.h"
#include "cli/table.h"

namespace thole::cli {

bool Console::is_watched() const {
    return form_ == Form::People && loudness_ == Loudness::Normal &&
           outside_.is_terminal(Channel::Data) && outside_.is_terminal(Channel::Talk);
}

std::size_t Console::width() const {
    return outside_.is_terminal(Channel::Data) ? outside_.width() : kAnyWidth;
}

void Console::write(Channel channel, std::string_view lines) {
    if (lines.empty()) return;
    std::string bytes(lines);
    if (bytes.back() != '\n') bytes += '\n';
    if (!outside_.write(channel, bytes)) has_lost_output_ = true;
}

void Console::data(std::string_view lines) { write(Channel::Data, lines); }

void Console::talk(std::string_view lines) {
    if (loudness_ == Loudness::Normal) write(Channel::Talk, lines);
}

void Console::problem(std::string_view lines) {
    write(Channel::Talk, with_folder(std::string(lines)));
}

// Pasted elsewhere it means the same system. thole stands first, or after sudo or a variable.
std::string Console::with_folder(std::string lines) const {
    constexpr std::string_view kTry = "  try: ";
    constexpr std::string_view kOurs = "thole ";
    if (folder_.empty()) return lines;
    for (std::size_t at = 0; (at = lines.find(kTry, at)) != std::string::npos;) {
        at += kTry.size();
        const std::string_view line = std::string_view(lines).substr(at);
        const std::string_view first = line.substr(0, line.find(' '));
        const bool is_before = first == "sudo" || first.starts_with("THOLE_RUN_DIR=");
        const std::size_t ours = is_before ? first.size() + 1 : 0;
        if (line.substr(std::min(ours, line.size())).starts_with(kOurs))
            lines.insert(at + ours + kOurs.size(), "--folder " + for_shell(folder_) + " ");
    }
    return lines;
}

void Console::problem(const Error& error) {
    if (is_json()) {
        JsonWriter w;
        w.begin_object().member("format", 1).key("error").begin_object();
        w.member("code", name_of(error.code)).member("message", error.message);
        w.member("hint", error.hint).end_object().end_object();
        data(w.take());
    }
    problem(fmt::format("{} {}", paint(Channel::Talk, Colour::Red, "thole:"),
                        printable_lines(error.message)));
    if (!error.hint.empty()) problem("  try: " + printable_lines(error.hint));
}

std::string Console::paint(Channel channel, Colour colour, std::string_view text) const {
    const bool shows = outside_.is_terminal(channel) && outside_.variable("NO_COLOR").empty() &&
                       outside_.variable("TERM") != "dumb";
    if (!shows) return std::string(text);
    return fmt::format("\x1b[{}m{}\x1b[0m", static_cast<int>(colour), text);
}

std::string Console::cleaned(Channel channel, std::string_view text) const {
    return outside_.is_terminal(channel) ? printable(text) : std::string(text);
}

}  // namespace thole::cli
