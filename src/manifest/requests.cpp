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
        {"try", read_try},       {"total", read_total},         {"tunnel", read_tunnel},
        {"body", read_body},     {"in-flight", read_in_flight}, {"queue", read_queue},
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
