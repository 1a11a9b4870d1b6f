#include "manifest/public_side.h"

#include <algorithm>

#include <fmt/format.h>

#include "manifest/values.h"

namespace thole::manifest {

namespace {

using model::PublicSpec;

// RFC 1035 section 2.3.4, without the last dot and the lengths between.
constexpr std::size_t kHostBytesMax = 253;
constexpr std::size_t kLabelBytesMax = 63;

void read_public_port(const Node& node, PublicSpec& spec, Findings& findings) {
    if (const auto number = read_number(node, kPorts, findings)) {
        spec.port = static_cast<std::uint16_t>(*number);
    }
}

void read_bind(const Node& node, PublicSpec& spec, Findings& findings) {
    if (const auto address = read_address(node, findings)) spec.bind = *address;
}

void read_tls(const Node& node, PublicSpec&, Findings& findings) {
    if (node.kind == Node::Kind::Text && node.text == "none") return;
    findings.add(node.place, "not yet: TLS comes in a later version", "tls: none");
}

void read_trust(const Node& node, PublicSpec& spec, Findings& findings) {
    if (node.kind != Node::Kind::List) { return refuse_kind(node, "a list of networks", findings); }
    if (node.children.size() > model::kTrustMax) {
        findings.add(node.place, fmt::format("'trust' has more than {} networks", model::kTrustMax),
                     "write one larger network for several");
        return;
    }
    for (const Node& item : node.children) {
        if (const auto network = read_network(item, findings)) spec.trust.push_back(*network);
    }
    std::sort(spec.trust.begin(), spec.trust.end());
    spec.trust.erase(std::unique(spec.trust.begin(), spec.trust.end()), spec.trust.end());
}

bool is_label(std::string_view label) {
    return !label.empty() && label.size() <= kLabelBytesMax && label.front() != '-' &&
           label.back() != '-' &&
           label.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") == label.npos;
}

bool is_host_name(std::string_view host) {
    if (host.size() > kHostBytesMax) return false;
    for (std::size_t begin = 0; begin <= host.size();) {
        const std::size_t end = std::min(host.find('.', begin), host.size());
        if (!is_label(host.substr(begin, end - begin))) return false;
        begin = end + 1;
    }
    return true;
}

// What would help whoever wrote this, where it is known.
std::string hint_for_host(std::string_view host) {
    if (host == "*") return "remove 'hosts': then every host is meant";
    if (host.find("://") != host.npos || host.find('/') != host.npos)
        return "hosts: [shop.example.com], and path: /api beside it";
    if (host.find(':') != host.npos) return "only the name; the port stands beside it";
    const auto is_foreign = [](char c) { return static_cast<unsigned char>(c) >= 0x80; };
    if (std::any_of(host.begin(), host.end(), is_foreign))
        return "write its ASCII form, which begins with xn--";
    return R"(hosts: [shop.example.com, "*.example.com"])";
}

void read_hosts(const Node& node, PublicSpec& spec, Findings& findings) {
    if (node.kind != Node::Kind::List) {
        return refuse_kind(node, "a list of host names", findings);
    }
    if (node.children.empty()) {
        findings.add(node.place, "'hosts' has none: nobody would be served",
                     "remove it: then every host is meant");
    }
    for (const Node& item : node.children) {
        if (spec.hosts.size() >= static_cast<std::size_t>(model::kRoutesMax)) {
            findings.add(item.place, fmt::format("more than {} hosts", model::kRoutesMax),
                         "use a wildcard: \"*.example.com\"");
            return;
        }
        std::optional<std::string> host = read_text(item, findings);
        if (!host) continue;
        std::transform(host->begin(), host->end(), host->begin(), [](char c) {
            return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        });
        if (host->size() > 1 && host->back() == '.') host->pop_back();
        const bool is_wild = host->rfind("*.", 0) == 0;
        if (!is_host_name(std::string_view(*host).substr(is_wild ? 2 : 0))) {
            findings.add(item.place, fmt::format("{} is not the name of a host", shown(item.text)),
                         hint_for_host(*host));
        } else if (std::find(spec.hosts.begin(), spec.hosts.end(), *host) != spec.hosts.end()) {
            findings.add(item.place, fmt::format("{} stands here twice", shown(item.text)),
                         "remove one");
        } else {
            spec.hosts.push_back(std::move(*host));
        }
    }
}

// Only what has one spelling: a path with an escape would have two.
bool is_prefix(std::string_view path) {
    if (path.empty() || path.front() != '/' || path.size() > model::kRoutePathMax) return false;
    for (std::size_t begin = 1; begin <= path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        const std::string_view part = path.substr(begin, end - begin);
        if (part == "." || part == ".." || (part.empty() && end < path.size())) return false;
        begin = end + 1;
    }
    return path.find_first_not_of(
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
               "0123456789-._~/") == path.npos;
}

void read_prefix(const Node& node, PublicSpec& spec, Findings& findings) {
    const auto path = read_text(node, findings);
    if (!path) return;
    if (!is_prefix(*path)) {
        findings.add(node.place,
                     fmt::format("'path': {} is no prefix of paths: '/', then segments of letters, "
                                 "digits and '-._~', at most {} bytes",
                                 shown(*path), model::kRoutePathMax),
                     "path: /api, which is /api and all below it");
        return;
    }
    // "/api/" and "/api" say the same, and "/" nothing.
    spec.path = path->back() == '/' ? path->substr(0, path->size() - 1) : *path;
}

}  // namespace

PublicSpec read_public_side(const Node& node, Findings& findings) {
    static constexpr Field<PublicSpec> kFields[] = {
        {"port", read_public_port}, {"bind", read_bind},   {"tls", read_tls},
        {"trust", read_trust},      {"hosts", read_hosts}, {"path", read_prefix}};
    PublicSpec spec;
    if (node.kind == Node::Kind::Map) {
        read_fields(node, kFields, spec, findings);
        if (node.find("port") == nullptr) {
            findings.add(node.place, "'public' has no 'port'", "public: {port: 8080}");
        }
    } else if (looks_like_number(node)) {
        read_public_port(node, spec, findings);
    } else if (node.kind == Node::Kind::Text) {
        findings.add(node.place,
                     fmt::format("not yet: {}: a host without a port needs TLS, which comes later",
                                 shown(node.text)),
                     is_host_name(node.text)
                         ? fmt::format("public: {{port: 8080, hosts: [{}]}}", node.text)
                         : "public: 8080");
    } else {
        refuse_kind(node, "a port, or a map with a port", findings);
    }
    return spec;
}

std::string shown_route(const std::string& host, const std::string& path) {
    return (host.empty() ? "any host" : shown(host)) +
           (path.empty() ? "" : " with path " + shown(path));
}

}  // namespace thole::manifest
