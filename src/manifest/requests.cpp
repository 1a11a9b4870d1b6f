#include "manifest/requests.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/parse.h"
#include "manifest/values.h"

namespace thole::manifest {

namespace {

using model::RequestsSpec;

// A limit of 0 would let nothing through; who wants none leaves the key out.
void read_limit(const Node& node, Duration usual, Duration& limit, Findings& findings) {
    const auto time = read_duration(node, findings);
    if (!time) return;
    if (*time == Duration::zero() || *time > model::kRequestTimeMax) {
        findings.add(node.place,
                     fmt::format("'{}': {} is out of range: 1ms to {}", node.key, shown(node.text),
                                 print_duration(model::kRequestTimeMax)),
                     fmt::format("{}: {}", node.key, print_duration(usual)));
    }
    limit = *time;
}

void read_try(const Node& node, RequestsSpec& spec, Findings& findings) {
    read_limit(node, model::kResponseHeadLimit, spec.try_limit, findings);
}

void read_total(const Node& node, RequestsSpec& spec, Findings& findings) {
    read_limit(node, 2 * model::kResponseHeadLimit, spec.total_limit, findings);
}

void read_tunnel(const Node& node, RequestsSpec& spec, Findings& findings) {
    read_limit(node, model::kTunnelLimit, spec.tunnel, findings);
}

void read_body(const Node& node, RequestsSpec& spec, Findings& findings) {
    const auto size = read_size(node, findings);
    if (!size) return;
    if (*size == 0) {
        findings.add(node.place, "'body' is 0: no request could bring anything",
                     "body: 1Mi, or remove the key: then any size passes");
    }
    spec.body_bytes_max = static_cast<std::uint64_t>(*size);
}

void read_in_flight(const Node& node, RequestsSpec& spec, Findings& findings) {
    const Range range{.least = 1, .most = model::kRequestsAtOnceMax};
    if (const auto number = read_number(node, range, findings))
        spec.in_flight_max = static_cast<std::uint32_t>(*number);
}

void read_queue(const Node& node, RequestsSpec& spec, Findings& findings) {
    const Range range{.least = 0, .most = model::kRequestsAtOnceMax};
    if (const auto number = read_number(node, range, findings))
        spec.queued_max = static_cast<std::uint32_t>(*number);
}

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

// RFC 9110 section 5.6.2: of what names of cookies and headers are made.
bool is_token(std::string_view text) {
    constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
        return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') ||
               kMarks.find(c) != std::string_view::npos;
    });
}

void read_name(const Node& node, std::string& name, Findings& findings) {
    const auto text = read_text(node, findings);
    if (!text) return;
    if (!is_token(*text) || text->size() > model::kStickyNameMax) {
        findings.add(node.place,
                     fmt::format("{} is not a name of a {}: 1 to {} letters, digits and '-', '_'",
                                 shown(*text), node.key, model::kStickyNameMax),
                     fmt::format("{}: {}", node.key, node.key == "cookie" ? "session" : "X-User"));
    }
    name = *text;
}

void read_cookie(const Node& node, RequestsSpec& spec, Findings& findings) {
    read_name(node, spec.sticky_cookie, findings);
}

void read_header(const Node& node, RequestsSpec& spec, Findings& findings) {
    read_name(node, spec.sticky_header, findings);
}

void read_sticky(const Node& node, RequestsSpec& spec, Findings& findings) {
    static constexpr Field<RequestsSpec> kFields[] = {{"cookie", read_cookie},
                                                      {"header", read_header}};
    read_fields(node, kFields, spec, findings);
    if (node.kind == Node::Kind::Map && node.children.size() != 1) {
        findings.add(node.key_place, "'sticky' goes by one cookie or by one header",
                     "sticky: {cookie: session}");
    }
}

}  // namespace

RequestsSpec read_requests_spec(const Node& node, Findings& findings) {
    static constexpr Field<RequestsSpec> kFields[] = {
        {"try", read_try},
        {"total", read_total},
        {"tunnel", read_tunnel},
        {"body", read_body},
        {"in-flight", read_in_flight},
        {"queue", read_queue},
        {"check", read_check},
        {"upgrade", read_upgrade},
        {"encoded-slash", read_encoded_slash},
        {"sticky", read_sticky},
    };
    RequestsSpec spec;
    read_fields(node, kFields, spec, findings);
    if (spec.total_limit != Duration::zero() && spec.total_limit < spec.try_limit &&
        node.find("try") != nullptr) {
        findings.add(node.find("total")->place,
                     "'total' is shorter than 'try': no attempt could take so long",
                     fmt::format("total: {}", print_duration(2 * spec.try_limit)));
    }
    return spec;
}

}  // namespace thole::manifest
