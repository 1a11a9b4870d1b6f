#include "cli/printable.h"

#include <cstdint>

#include <fmt/format.h>

namespace thole::cli {
namespace {

struct Character {
    std::uint32_t code = 0;
    std::size_t bytes = 0;  // 0: no UTF-8 begins here.
};

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
Character character_at(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return {first, 1};
    const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
    if (size == 0 || first > 0xf4 || text.size() < size) return {};
    std::uint32_t code = first & (0xffU >> (size + 1));
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return {};
        code = code << 6 | (byte(i) & 0x3fU);
    }
    constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool is_surrogate = 0xd800 <= code && code < 0xe000;
    if (code < kLeast[size] || is_surrogate || code > 0x10ffff) return {};
    return {code, size};
}

// Length of `ESC [ digits ; digits m` at the beginning, or 0.
std::size_t colour_at(std::string_view text) {
    if (text.size() < 3 || text[0] != '\x1b' || text[1] != '[') return 0;
    std::size_t at = 2;
    while (at < text.size() && (('0' <= text[at] && text[at] <= '9') || text[at] == ';')) ++at;
    return at < text.size() && text[at] == 'm' ? at + 1 : 0;
}

bool turns_direction(std::uint32_t code) {
    return (0x202a <= code && code <= 0x202e) || (0x2066 <= code && code <= 0x2069) ||
           code == 0x200e || code == 0x200f;
}

}  // namespace

std::string printable(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        if (const std::size_t colour = colour_at(text); colour > 0) {
            text.remove_prefix(colour);
            continue;
        }
        const Character character = character_at(text);
        const std::uint32_t code = character.code;
        if (character.bytes == 0) {
            out += "\xef\xbf\xbd";
        } else if (code != '\t' && (code < 0x20 || (0x7f <= code && code < 0xa0))) {
            out += fmt::format("\\x{:02x}", code);
        } else if (turns_direction(code) || code == 0x2028 || code == 0x2029) {
            out += fmt::format("\\u{:04x}", code);
        } else {
            out += text.substr(0, character.bytes);
        }
        text.remove_prefix(character.bytes == 0 ? 1 : character.bytes);
    }
    return out;
}

std::string printable_lines(std::string_view text) {
    std::string out;
    while (true) {
        const std::size_t end = text.find('\n');
        out += printable(text.substr(0, end));
        if (end == std::string_view::npos || end + 1 == text.size()) return out;
        out += "\n  ";
        text.remove_prefix(end + 1);
    }
}

std::size_t columns_of(std::string_view text) {
    std::size_t columns = 0;
    for (const char c : text) {
        if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) ++columns;
    }
    return columns;
}

std::string cut_to(std::string_view text, std::size_t columns) {
    if (columns_of(text) <= columns) return std::string(text);
    std::size_t at = 0;
    for (std::size_t seen = 0; at < text.size(); ++at) {
        const bool begins = (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80;
        if (begins && ++seen >= columns) break;
    }
    return columns == 0 ? std::string() : std::string(text.substr(0, at)) + "…";
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t bytes = character_at(text).bytes;
        if (bytes == 0) return false;
        text.remove_prefix(bytes);
    }
    return true;
}

std::string for_shell(std::string_view word) {
    constexpr std::string_view kPlain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:@,%";
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos)
        return std::string(word);
    std::string quoted = "'";
    for (const char each : word)
        quoted += each == '\'' ? std::string("'\\''") : std::string(1, each);
    return quoted + "'";
}

}  // namespace thole::cli
