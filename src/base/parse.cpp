#include "base/parse.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <vector>

#include <fmt/core.h>

namespace thole {

namespace {

constexpr std::int64_t kDurationMaxMilliseconds = std::int64_t{10} * 366 * 86'400'000;

bool is_digit(char c) { return '0' <= c && c <= '9'; }
bool is_lower(char c) { return 'a' <= c && c <= 'z'; }

// What is not shown whole in a message is cut; control bytes never reach a terminal.
std::string shown(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, 60)) out += (c < 0x20 || c == 0x7f) ? '?' : c;
    return text.size() > 60 ? out + "…" : out;
}

struct Unit {
    std::string_view name;
    std::int64_t factor;
};

// Splits "250ms" into 250 and "ms".
Result<std::pair<std::int64_t, std::string_view>> split_number(std::string_view text,
                                                               std::string_view kind) {
    std::size_t digits = 0;
    while (digits < text.size() && is_digit(text[digits])) ++digits;
    if (digits == 0) return invalid(fmt::format("'{}' is not a {}", shown(text), kind));
    const std::int64_t count =
        TRY(parse_integer(text.substr(0, digits), 0, std::numeric_limits<std::int64_t>::max()));
    return std::pair(count, text.substr(digits));
}

}  // namespace

Result<std::int64_t> parse_integer(std::string_view text, std::int64_t least, std::int64_t most) {
    std::int64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [rest, failure] = std::from_chars(text.data(), end, number);
    const std::string_view digits = text.substr(!text.empty() && text.front() == '-' ? 1 : 0);
    const bool plain =
        !digits.empty() && (digits.size() == 1 || digits.front() != '0') && text != "-0";
    if (failure == std::errc::result_out_of_range) {
        return invalid(fmt::format("{} is out of range: {} to {}", shown(text), least, most));
    }
    if (failure != std::errc{} || rest != end || !plain) {
        return invalid(fmt::format("'{}' is not a whole number", shown(text)));
    }
    if (number < least || most < number) {
        return invalid(fmt::format("{} is out of range: {} to {}", number, least, most));
    }
    return number;
}

Result<Duration> parse_duration(std::string_view text) {
    static constexpr Unit kUnits[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
    const auto [count, unit] = TRY(split_number(text, "duration"));
    for (const Unit& known : kUnits) {
        if (unit != known.name) continue;
        if (count > kDurationMaxMilliseconds / known.factor) {
            return invalid(fmt::format("'{}' is longer than 10 years", shown(text)));
        }
        return Duration(std::chrono::milliseconds(count * known.factor));
    }
    return invalid(fmt::format("'{}' needs a unit: ms, s, m, h or d", shown(text)));
}

std::string print_duration(Duration duration) {
    const std::int64_t millis = milliseconds_of(duration);
    static constexpr Unit kUnits[] = {
        {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}};
    for (const Unit& unit : kUnits) {
        if (millis != 0 && millis % unit.factor == 0)
            return fmt::format("{}{}", millis / unit.factor, unit.name);
    }
    return fmt::format("{}ms", millis);
}

Result<std::int64_t> parse_size(std::string_view text) {
    static constexpr Unit kUnits[] = {{"", 1},
                                      {"k", 1000},
                                      {"M", 1000 * 1000},
                                      {"G", 1000 * 1000 * 1000},
                                      {"Ki", std::int64_t{1} << 10},
                                      {"Mi", std::int64_t{1} << 20},
                                      {"Gi", std::int64_t{1} << 30},
                                      {"Ti", std::int64_t{1} << 40}};
    const auto [count, unit] = TRY(split_number(text, "size"));
    for (const Unit& known : kUnits) {
        if (unit != known.name) continue;
        if (count > std::numeric_limits<std::int64_t>::max() / known.factor) {
            return invalid(fmt::format("'{}' is too large", shown(text)));
        }
        return count * known.factor;
    }
    return invalid(fmt::format("'{}' needs a unit: Ki, Mi, Gi, Ti, k, M or G", shown(text)));
}

Status check_name(std::string_view text) {
    const bool sized = !text.empty() && text.size() <= 63;
    const bool ends = sized && is_lower(text.front()) && text.back() != '-';
    const bool plain = std::all_of(text.begin(), text.end(),
                                   [](char c) { return is_lower(c) || is_digit(c) || c == '-'; });
    if (sized && ends && plain) return success();
    return invalid(
        fmt::format("'{}' is not a name: 1 to 63 of a-z, 0-9 and '-', starting with a letter, "
                    "not ending in '-'",
                    shown(text)));
}

Result<std::int64_t> parse_share(std::string_view text) {
    const Error wrong =
        invalid(fmt::format("'{}' is not a share: 0% to 100%, in steps of 0.1%", shown(text)));
    if (!text.ends_with('%')) return wrong;
    const std::string_view number = text.substr(0, text.size() - 1);
    const std::size_t point = number.find('.');
    const Result<std::int64_t> whole = parse_integer(number.substr(0, point), 0, 100);
    if (!whole.ok()) return wrong;
    std::int64_t tenths = 0;
    if (point != std::string_view::npos) {
        const Result<std::int64_t> said = parse_integer(number.substr(point + 1), 0, 9);
        if (!said.ok()) return wrong;
        tenths = *said;
    }
    const std::int64_t share = *whole * 10 + tenths;
    if (share > 1000) return wrong;
    return share;
}

std::string print_share(std::int64_t per_mille) {
    const std::int64_t tenths = per_mille % 10;
    return tenths == 0 ? fmt::format("{}%", per_mille / 10)
                       : fmt::format("{}.{}%", per_mille / 10, tenths);
}

std::size_t edit_distance(std::string_view left, std::string_view right) {
    // Three rows of the usual table: two before (for swaps), one before, this one.
    std::vector<std::size_t> older(right.size() + 1), old(right.size() + 1), row(right.size() + 1);
    for (std::size_t j = 0; j <= right.size(); ++j) old[j] = j;
    for (std::size_t i = 1; i <= left.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= right.size(); ++j) {
            const std::size_t replaced = old[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
            row[j] = std::min({old[j] + 1, row[j - 1] + 1, replaced});
            const bool swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if (swapped) row[j] = std::min(row[j], older[j - 2] + 1);
        }
        std::swap(older, old);
        std::swap(old, row);
    }
    return old[right.size()];
}

}  // namespace thole
