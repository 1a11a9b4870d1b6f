#include "manifest/requests.h"

#include <algorithm>

#include <fmt/format.h>

#include "manifest/values.h"

namespace thole::manifest {

namespace {

using model::RequestsSpec;

// One of two words: whether it is the second.
void read_choice(const Node& node, std::string_view usual, std::string_view other, bool& is_other,
                 Findings& findings) {
    if (node.kind == Node::Kind::Text && (node.text == usual || node.text == other)) {
        is_other = node.text == other;
        return;
    }
    findings.add(node.place, fmt::format("'{}' must be {} or {}", node.key, usual, other),
                 fmt::format("{}: {}", node.key, other));
}

void read_check(const Node& node, RequestsSpec& spec, Findings& findings) {
    read_choice(node, "refuse", "report", spec.reports_rules, findings);
}

void read_encoded_slash(const Node& node, RequestsSpec& spec, Findings& findings) {
    read_choice(node, "refuse", "keep", spec.keeps_encoded_slash, findings);
}

// A token in small letters; with a version behind a '/', as RFC 9110 section 7.8 has it.
bool is_protocol(std::string_view text) {
    return !text.empty() && text.front() != '/' && text.back() != '/' &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-._+/") == text.npos;
}

void read_upgrade(const Node& node, RequestsSpec& spec, Findings& findings) {
    if (node.kind != Node::Kind::List) return refuse_kind(node, "a list of protocols", findings);
    spec.upgrades.clear();
    std::size_t bytes = 0;
    for (const Node& item : node.children) {
        std::optional<std::string> name = read_text(item, findings);
        if (!name) continue;
        std::transform(name->begin(), name->end(), name->begin(), [](char c) {
            return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        });
        if (*name == "h2c" || *name == "h2") {
            findings.add(item.place, "HTTP/2 is not spoken by an upgrade (RFC 9113 section 3.1)",
                         "remove it");
        } else if (!is_protocol(*name)) {
            findings.add(item.place, fmt::format("{} is not a name of a protocol", shown(*name)),
                         "upgrade: [websocket]");
        } else if (std::find(spec.upgrades.begin(), spec.upgrades.end(), *name) !=
                   spec.upgrades.end()) {
            findings.add(item.place, fmt::format("{} stands here twice", shown(*name)),
                         "remove one");
        } else {
            bytes += name->size() + 2;
            spec.upgrades.push_back(std::move(*name));
        }
    }
    if (bytes > model::kUpgradesBytesMax + 2)
        findings.add(node.place, fmt::format("'upgrade' has more than {} characters in all",
                                             model::kUpgradesBytesMax));
}

}  // namespace

RequestsSpec read_requests_spec(const Node& node, Findings& findings) {
    static constexpr Field<RequestsSpec> kFields[] = {
        {"check", read_check}, {"upgrade", read_upgrade}, {"encoded-slash", read_encoded_slash}};
    RequestsSpec spec;
    read_fields(node, kFields, spec, findings);
    return spec;
}

}  // namespace thole::manifest
