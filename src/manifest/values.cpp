#include "manifest/values.h"

#include <fmt/format.h>

#include "base/parse.h"

namespace thole::manifest {

namespace {

// What a value is called in messages; an item of a list has no key.
std::string subject_of(const Node& node) {
    return node.key.empty() ? std::string("an item here") : shown(node.key);
}

bool is_number(const Node& node) {
    return node.kind == Node::Kind::Integer || node.kind == Node::Kind::Float;
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

// A value of the strict parsers, or their message as a finding.
template <typename T>
std::optional<T> accept(const Node& node, Result<T> result, Findings& findings) {
    if (result.ok()) return std::move(result).value();
    findings.add(node.place, fmt::format("{}: {}", subject_of(node), result.error().message));
    return std::nullopt;
}

std::optional<model::Command> read_arguments(const Node& node, Findings& findings) {
    model::Command command;
    for (const Node& item : node.children) {
        const std::optional<std::string> word = read_written(item, findings);
        if (!word) return std::nullopt;
        command.words.push_back(*word);
    }
    if (!command.empty() && !is_blank(command.words.front())) return command;
    findings.add(node.place, fmt::format("{} has no program", subject_of(node)),
                 fmt::format("{}: [node, server.js]", node.key));
    return std::nullopt;
}

}  // namespace

void refuse_kind(const Node& node, std::string_view wanted, Findings& findings) {
    if (node.kind == Node::Kind::Refused) return;
    findings.add(node.place, fmt::format("{} must be {}, not {}", subject_of(node), wanted,
                                         name_of(node.kind)));
}

void refuse_key(const Node& child, std::span<const std::string_view> keys, Findings& findings) {
    // `<<: *base`: the alias has been named.
    if (child.key == "<<" && child.kind == Node::Kind::Refused) return;
    if (findings.is_full()) return findings.add(child.key_place, "");
    findings.add(child.key_place, fmt::format("unknown key {}", shown(child.key)),
                 hint_of_nearest(child.key, keys));
}

std::optional<std::string> read_text(const Node& node, Findings& findings) {
    if (node.kind == Node::Kind::Text) return node.text;
    refuse_kind(node, "a text", findings);
    return std::nullopt;
}

std::optional<std::int64_t> read_number(const Node& node, Range range, Findings& findings) {
    if (node.kind == Node::Kind::Integer) {
        return accept(node, parse_integer(node.text, range.least, range.most), findings);
    }
    if (node.is_quoted && parse_integer(node.text, range.least, range.most).ok()) {
        findings.add(node.place, fmt::format("{} must be a number, not a text", subject_of(node)),
                     "remove the quotes");
        return std::nullopt;
    }
    refuse_kind(node, fmt::format("a whole number from {} to {}", range.least, range.most),
                findings);
    return std::nullopt;
}

std::optional<Duration> read_duration(const Node& node, Findings& findings) {
    if (node.kind == Node::Kind::Text || is_number(node)) {
        return accept(node, parse_duration(node.text), findings);
    }
    refuse_kind(node, "a duration such as 30s", findings);
    return std::nullopt;
}

std::optional<std::int64_t> read_size(const Node& node, Findings& findings) {
    if (node.kind == Node::Kind::Text || is_number(node)) {
        return accept(node, parse_size(node.text), findings);
    }
    refuse_kind(node, "a size such as 256Mi", findings);
    return std::nullopt;
}

std::optional<std::string> read_written(const Node& node, Findings& findings) {
    if (node.is_scalar() && node.kind != Node::Kind::Null) return node.text;
    if (node.kind == Node::Kind::Null) {
        findings.add(node.place, fmt::format("{} is empty", subject_of(node)), R"(write "")");
    } else {
        refuse_kind(node, "a text, a number, true or false", findings);
    }
    return std::nullopt;
}

std::optional<model::Command> read_command(const Node& node, Findings& findings) {
    if (node.kind == Node::Kind::List) return read_arguments(node, findings);
    if (node.kind != Node::Kind::Text) {
        refuse_kind(node, "a command as text, or a list of its words", findings);
        return std::nullopt;
    }
    if (is_blank(node.text)) {
        findings.add(node.place, fmt::format("{} has no program", subject_of(node)),
                     fmt::format("{}: node server.js", node.key));
        return std::nullopt;
    }
    return model::Command{.words = {node.text}, .is_shell = true};
}

std::optional<std::string> read_inner_path(const Node& node, Findings& findings) {
    const std::optional<std::string> text = read_text(node, findings);
    if (!text) return std::nullopt;
    std::string path;
    bool is_inside = !text->empty() && text->front() != '/';
    for (std::size_t begin = 0; begin <= text->size();) {
        const std::size_t end = std::min(text->find('/', begin), text->size());
        const std::string_view part = std::string_view(*text).substr(begin, end - begin);
        begin = end + 1;
        if (part.empty() || part == ".") continue;
        if (part == "..") is_inside = false;
        if (!path.empty()) path += '/';
        path += part;
    }
    if (is_inside) return path.empty() ? "." : path;
    findings.add(node.place,
                 fmt::format("{}: {} is no path inside the manifest's folder", subject_of(node),
                             shown(*text)),
                 fmt::format("{}: ./web", node.key));
    return std::nullopt;
}

std::optional<std::string> read_request_path(const Node& node, Findings& findings) {
    const std::optional<std::string> text = read_text(node, findings);
    if (!text) return std::nullopt;
    // It goes into a request line as it is.
    const bool is_plain = std::all_of(text->begin(), text->end(),
                                      [](char c) { return '!' <= c && c <= '~' && c != '#'; });
    if (!text->empty() && text->front() == '/' && is_plain) return text;
    findings.add(node.place,
                 fmt::format("{}: {} is no path of a request: it starts with '/' and has neither "
                             "blanks nor '#'",
                             subject_of(node), shown(*text)),
                 fmt::format("{}: /readyz", node.key));
    return std::nullopt;
}

std::optional<std::string> read_address(const Node& node, Findings& findings) {
    if (node.kind != Node::Kind::Text) {
        refuse_kind(node, "an IPv4 address such as 0.0.0.0", findings);
        return std::nullopt;
    }
    int parts = 0;
    for (std::size_t begin = 0; begin <= node.text.size(); ++parts) {
        const std::size_t end = std::min(node.text.find('.', begin), node.text.size());
        const std::string_view part = std::string_view(node.text).substr(begin, end - begin);
        if (parts == 4 || !parse_integer(part, 0, 255).ok()) break;
        begin = end + 1;
        if (parts == 3 && end == node.text.size()) return node.text;
    }
    findings.add(node.place,
                 fmt::format("{}: {} is no IPv4 address", subject_of(node), shown(node.text)),
                 fmt::format("{}: 127.0.0.1, or 0.0.0.0 for all", node.key));
    return std::nullopt;
}

}  // namespace thole::manifest
