// What others wrote (names, reasons, log lines), made harmless for a terminal.
#pragma once

#include <string>
#include <string_view>

namespace thole::cli {

// One line: colours (SGR) are left out, other control characters are shown as `\x1b`, those that
// turn the direction of writing as `\u202e`, and bytes that are no UTF-8 as U+FFFD. Tabs stay.
std::string printable(std::string_view text);
// The same for several lines: those after the first are indented.
std::string printable_lines(std::string_view text);

bool is_utf8(std::string_view text);

// How many columns it takes: one a character; wide ones are not known here.
std::size_t columns_of(std::string_view text);
// At most so many columns, the last of them `…` where something is left out.
std::string cut_to(std::string_view text, std::size_t columns);

// As one word of a command that is to be pasted into a shell.
std::string for_shell(std::string_view word);

}  // namespace thole::cli
