#include "manifest/values.h"

#include <limits>

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

// Four numbers with dots between.
std::optional<std::uint32_t> address_of(std::string_view text) {
    std::uint32_t address = 0;
    for (int parts = 1;; ++parts) {
        const std::size_t end = std::min(text.find('.'), text.size());
        const Result<std::int64_t> part = parse_integer(text.substr(0, end), 0, 255);
        if (!part.ok()) return std::nullopt;
        address = address << 8 | static_cast<std::uint32_t>(*part);
        if (parts == 4) return end == text.size() ? std::optional(address) : std::nullopt;
        if (end == text.size()) return std::nullopt;
        text.remove_prefix(end + 1);
    }
}

}  // namespace

bool looks_like_number(const Node& node) {
    return node.kind == Node::Kind::Integer || node.kind == Node::Kind::Float ||
           parse_integer(node.text, 0, std::numeric_limits<std::int64_t>::max()).ok();
}

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
    if (address_of(node.text)) return node.text;
    findings.add(node.place,
                 fmt::format("{}: {} is no IPv4 address", subject_of(node), shown(node.text)),
                 fmt::format("{}: 127.0.0.1, or 0.0.0.0 for all", node.key));
    return std::nullopt;
}

std::optional<model::Network> read_network(const Node& node, Findings& findings) {
    if (node.kind != Node::Kind::Text) {
        refuse_kind(node, "a network such as 10.0.0.0/8", findings);
        return std::nullopt;
    }
    const std::string_view text = node.text;
    if (text.find(':') != text.npos) {
        findings.add(
            node.place,
            fmt::format("not yet: {}: nobody comes by IPv6, public ports are IPv4's", shown(text)),
            "remove it");
        return std::nullopt;
    }
    const std::size_t slash = std::min(text.find('/'), text.size());
    const std::optional<std::uint32_t> address = address_of(text.substr(0, slash));
    const Result<std::int64_t> bits = slash == text.size()
                                          ? Result<std::int64_t>(32)
                                          : parse_integer(text.substr(slash + 1), 0, 32);
    if (!address || !bits.ok()) {
        findings.add(node.place, fmt::format("{} is no network of IPv4", shown(text)),
                     "trust: [127.0.0.1, 10.0.0.0/8]");
        return std::nullopt;
    }
    const auto network = static_cast<std::uint32_t>(*bits);
    const std::uint32_t mask = network == 0 ? 0 : ~std::uint32_t{0} << (32 - network);
    const std::uint32_t first = *address & mask;
    if (first != *address) {
        findings.add(
            node.place,
            fmt::format("{} names one address of a network of {} bits", shown(text), network),
            fmt::format("{}.{}.{}.{}/{} for all of it", first >> 24, first >> 16 & 255,
                        first >> 8 & 255, first & 255, network));
        return std::nullopt;
    }
    return model::Network{.address = first, .bits = network};
}

}  // namespace thole::manifest
