// The few terminals of RFC 9110 that all of http/ reads by: character classes, names without case,
// blanks, hosts. Deliberately no grammar of whole messages. Pure functions, no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace thole::http {

// token = 1*tchar (9110 5.6.2)
constexpr std::array<bool, 256> make_token_bytes() {
    std::array<bool, 256> is{};
    for (const char c :
         std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
                          "UVWXYZ")) {
        is[static_cast<unsigned char>(c)] = true;
    }
    return is;
}
inline constexpr std::array<bool, 256> kTokenBytes = make_token_bytes();

constexpr bool is_token_byte(char c) { return kTokenBytes[static_cast<unsigned char>(c)]; }
constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }
// HTAB, SP, VCHAR, obs-text: what may stand in a field's value and in a reason.
constexpr bool is_value_byte(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}
constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
// 0 to 15, or -1.
constexpr int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    const char lower = to_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

constexpr bool is_token(std::string_view text) {
    for (const char c : text) {
        if (!is_token_byte(c)) return false;
    }
    return !text.empty();
}
// How many bytes stand before the first that may not stand in a value; all, where there is none.
std::size_t skip_value(std::string_view text);
bool same_letters(const char* left, const char* right, std::size_t size);
// ASCII only: a long s or a dotless i is never the letter it resembles.
inline bool same_name(std::string_view left, std::string_view right) {
    return left.size() == right.size() && same_letters(left.data(), right.data(), left.size());
}
bool has_prefix(std::string_view name, std::string_view lower_case_prefix);
// Without SP and HTAB at both ends; nothing else is a blank.
std::string_view trim(std::string_view text);

// host [":" port]: letters, digits, "-._~", or an IPv6 address in brackets. Narrower than RFC 3986,
// which also allows sub-delims and percent-encoding: a comma or an encoded slash in a host is an
// attack, never a name.
bool is_host(std::string_view text);

// Takes the next element off a comma-separated list, trimmed; empty ones are skipped, as 9110 5.6.1
// asks. False where there is none.
bool next_element(std::string_view& list, std::string_view& element);

}  // namespace thole::http
