#include "web/target.h"

#include "http/grammar.h"

namespace thole::web {
namespace {

enum class Plus : std::uint8_t { Itself, Blank };

Result<std::string> decode(std::string_view text, Plus plus) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            decoded += text[i] == '+' && plus == Plus::Blank ? ' ' : text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? http::hex_digit(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? http::hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return invalid("'" + std::string(text.substr(i, 3)) + "' in the target is no escape");
        }
        decoded += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return decoded;
}

std::string_view take_until(std::string_view& rest, char end) {
    const std::size_t at = rest.find(end);
    const std::string_view taken = rest.substr(0, at);
    rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 1);
    return taken;
}

}  // namespace

Result<TargetParts> split_target(std::string_view target) {
    TargetParts parts;
    parts.path = TRY(decode(take_until(target, '?'), Plus::Itself));
    if (parts.path.empty()) parts.path = "/";
    while (!target.empty()) {
        std::string_view value = take_until(target, '&');
        if (value.empty()) continue;
        std::string name = TRY(decode(take_until(value, '='), Plus::Blank));
        std::string decoded = TRY(decode(value, Plus::Blank));
        parts.query.emplace_back(std::move(name), std::move(decoded));
    }
    return parts;
}

}  // namespace thole::web
