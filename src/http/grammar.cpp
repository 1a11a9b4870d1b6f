#include "http/grammar.h"

#include <algorithm>

namespace thole::http {
namespace {

bool is_port(std::string_view text) {
    if (text.size() > 5) return false;
    int number = 0;
    for (const char c : text) {
        if (!is_digit(c)) return false;
        number = number * 10 + (c - '0');
    }
    return number <= 65535;
}

bool is_host_byte(char c) {
    const char lower = to_lower(c);
    return is_digit(c) || (lower >= 'a' && lower <= 'z') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

}  // namespace

bool is_token(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token_byte);
}

bool same_name(std::string_view left, std::string_view right) {
    if (left.size() != right.size()) return false;
    for (std::size_t i = 0; i < left.size(); ++i) {
        if (to_lower(left[i]) != to_lower(right[i])) return false;
    }
    return true;
}

bool has_prefix(std::string_view name, std::string_view lower_case_prefix) {
    return same_name(name.substr(0, lower_case_prefix.size()), lower_case_prefix);
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

bool is_host(std::string_view text) {
    std::size_t end = 0;
    if (!text.empty() && text.front() == '[') {
        end = text.find(']');
        if (end == std::string_view::npos || end < 3 || end > 46) return false;
        const std::string_view address = text.substr(1, end - 1);
        const bool is_plain = std::all_of(address.begin(), address.end(), [](char c) {
            return hex_digit(c) >= 0 || c == ':' || c == '.';
        });
        if (!is_plain || address.find(':') == std::string_view::npos) return false;
        ++end;
    } else {
        while (end < text.size() && is_host_byte(text[end])) ++end;
        if (end == 0 || end > 255) return false;
    }
    if (end == text.size()) return true;
    return text[end] == ':' && is_port(text.substr(end + 1));
}

bool next_element(std::string_view& list, std::string_view& element) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        element = trim(list.substr(0, comma));
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
        if (!element.empty()) return true;
    }
    return false;
}

}  // namespace thole::http
