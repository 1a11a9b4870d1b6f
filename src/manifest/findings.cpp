#include "manifest/findings.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "base/parse.h"

namespace thole::manifest {

namespace {

constexpr std::size_t kShownBytesMax = 60;
constexpr std::size_t kNamesListedMax = 16;

}  // namespace

void Findings::add(Place place, std::string message, std::string hint) {
    if (is_full()) {
        ++left_out_;
        return;
    }
    findings_.push_back({.line = place.line,
                         .column = place.column,
                         .message = std::move(message),
                         .hint = std::move(hint)});
}

void Findings::add_not_yet(Place place, std::string_view what) {
    add(place, fmt::format("not yet: {} comes in a later version", shown(what)), "remove it");
}

std::vector<Finding> Findings::take() {
    std::stable_sort(
        findings_.begin(), findings_.end(), [](const Finding& left, const Finding& right) {
            return std::tie(left.line, left.column) < std::tie(right.line, right.column);
        });
    if (left_out_ > 0) {
        Finding last = findings_.back();
        last.message = fmt::format("and {} more findings", left_out_);
        last.hint.clear();
        findings_.push_back(std::move(last));
    }
    return std::move(findings_);
}

std::string shown(std::string_view text) {
    std::size_t cut = std::min(text.size(), kShownBytesMax);
    // Not within a character of several bytes.
    while (cut > 0 && cut < text.size() && (text[cut] & '\xc0') == '\x80') --cut;
    std::string out = "'";
    for (const char c : text.substr(0, cut)) {
        out += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? '?' : c;
    }
    return out + (cut < text.size() ? "…'" : "'");
}

std::string hint_of_nearest(std::string_view text, std::span<const std::string_view> names) {
    // Longer ones are no slips of the pen, and comparing them costs time.
    if (text.size() <= 64) {
        const std::size_t near = std::max<std::size_t>(1, text.size() / 3);
        std::size_t least = near + 1;
        std::string_view nearest;
        for (const std::string_view name : names) {
            if (name == text) continue;
            const std::size_t distance = edit_distance(text, name);
            if (distance < least) {
                least = distance;
                nearest = name;
            }
        }
        if (least <= near) return fmt::format("did you mean {}", shown(nearest));
    }
    if (names.empty() || names.size() > kNamesListedMax) return "";
    return fmt::format("one of {}", fmt::join(names, ", "));
}

Error error_of(const std::vector<Finding>& findings, std::string_view file) {
    Error error = invalid("");
    for (const Finding& finding : findings) {
        const bool is_first = error.message.empty();
        if (!is_first) error.message += '\n';
        error.message +=
            fmt::format("{}:{}:{}: {}", file, finding.line, finding.column, finding.message);
        if (is_first) {
            error.hint = finding.hint;
        } else if (!finding.hint.empty()) {
            error.message += fmt::format(" ({})", finding.hint);
        }
    }
    return error;
}

}  // namespace thole::manifest
