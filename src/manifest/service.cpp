#include "manifest/service.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/parse.h"
#include "manifest/public_side.h"
#include "manifest/requests.h"
#include "manifest/values.h"

namespace thole::manifest {

namespace {

using model::HealthSpec;
using model::ServiceSpec;

void read_path(const Node& node, ServiceSpec& spec, Findings& findings) {
    if (const auto path = read_inner_path(node, findings)) spec.path = *path;
}

void read_build(const Node& node, ServiceSpec& spec, Findings& findings) {
    if (const auto command = read_command(node, findings)) spec.build = *command;
}

void read_run(const Node& node, ServiceSpec& spec, Findings& findings) {
    if (const auto command = read_command(node, findings)) spec.run = *command;
}

void read_port(const Node& node, ServiceSpec& spec, Findings& findings) {
    if (node.kind == Node::Kind::Text && node.text == "none") {
        spec.port_use = model::PortUse::None;
        return;
    }
    if (!looks_like_number(node)) {
        return refuse_kind(node, "a number from 1 to 65535, or none", findings);
    }
    if (const auto number = read_number(node, kPorts, findings)) {
        spec.port_use = model::PortUse::Fixed;
        spec.port = static_cast<std::uint16_t>(*number);
    }
}

void read_public(const Node& node, ServiceSpec& spec, Findings& findings) {
    spec.at_public = read_public_side(node, findings);
}

void read_calls(const Node& node, ServiceSpec& spec, Findings& findings) {
    if (node.kind != Node::Kind::List) { return refuse_kind(node, "a list of services", findings); }
    for (const Node& item : node.children) {
        if (const auto name = read_text(item, findings)) spec.calls.push_back(*name);
    }
}

bool is_variable_name(std::string_view text) {
    const auto is_letter = [](char c) {
        return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || c == '_';
    };
    return !text.empty() && is_letter(text.front()) &&
           std::all_of(text.begin(), text.end(),
                       [&](char c) { return is_letter(c) || ('0' <= c && c <= '9'); });
}

void read_environment(const Node& node, ServiceSpec& spec, Findings& findings) {
    if (node.kind != Node::Kind::Map) { return refuse_kind(node, "a map of variables", findings); }
    for (const Node& child : node.children) {
        if (!is_variable_name(child.key)) {
            findings.add(child.key_place, fmt::format("{} is not a name of a variable: A-Z, a-z, "
                                                      "0-9 and '_', not starting with a digit",
                                                      shown(child.key)));
        }
        const Node* secret = child.find("secret");
        if (secret != nullptr) {
            findings.add(secret->key_place, "not yet: secrets come in a later version");
        } else if (const auto text = read_written(child, findings)) {
            spec.environment.emplace_back(child.key, *text);
        }
    }
}

void read_ready(const Node& node, HealthSpec& health, Findings& findings) {
    if (const auto path = read_request_path(node, findings)) health.ready = *path;
}

void read_live(const Node& node, HealthSpec&, Findings& findings) {
    findings.add_not_yet(node.key_place, node.key);
}

void read_startup(const Node& node, HealthSpec& health, Findings& findings) {
    const auto limit = read_duration(node, findings);
    if (!limit) return;
    if (*limit == Duration::zero()) {
        findings.add(node.place, "'startup' is how long it may take until it is ready: not 0",
                     fmt::format("startup: {}", print_duration(model::kStartupLimit)));
    }
    health.startup = *limit;
}

void read_health(const Node& node, ServiceSpec& spec, Findings& findings) {
    static constexpr Field<HealthSpec> kFields[] = {
        {"ready", read_ready}, {"live", read_live}, {"startup", read_startup}};
    read_fields(node, kFields, spec.health, findings);
}

void read_requests(const Node& node, ServiceSpec& spec, Findings& findings) {
    spec.requests = read_requests_spec(node, findings);
}

void read_scale(const Node& node, ServiceSpec& spec, Findings& findings) {
    if (node.kind == Node::Kind::Text && node.text.find("..") != std::string::npos) {
        return findings.add(node.place,
                            fmt::format("not yet: {}: scaling by itself comes in a later version",
                                        shown(node.text)),
                            "scale: 2");
    }
    if (node.kind == Node::Kind::Integer && node.text == "0") {
        return findings.add(node.place, "'scale' is 0: the service would never run",
                            "scale: 1, or remove the service");
    }
    const Range range{.least = 1, .most = model::kScaleMax};
    if (const auto number = read_number(node, range, findings)) {
        spec.scale = static_cast<int>(*number);
    }
}

void read_grace(const Node& node, ServiceSpec& spec, Findings& findings) {
    if (const auto grace = read_duration(node, findings)) spec.stop_grace = *grace;
}

void read_stop(const Node& node, ServiceSpec& spec, Findings& findings) {
    static constexpr Field<ServiceSpec> kFields[] = {{"grace", read_grace}};
    read_fields(node, kFields, spec, findings);
}

void read_state(const Node& node, ServiceSpec& spec, Findings& findings) {
    const auto size = read_size(node, findings);
    if (!size) return;
    if (*size == 0) {
        findings.add(node.place, "'state' is 0: it could keep nothing",
                     "state: 256Mi, or remove the key");
    }
    spec.state_bytes = *size;
}

// "99.9%", with up to four digits behind the point. All of it is no aim that anybody can have.
void read_availability(const Node& node, ServiceSpec& spec, Findings& findings) {
    const auto text = read_written(node, findings);
    if (!text) return;
    std::string_view digits = *text;
    const bool has_sign = digits.ends_with('%');
    if (has_sign) digits.remove_suffix(1);
    const std::size_t point = std::min(digits.find('.'), digits.size());
    std::string parts(digits.substr(std::min(point + 1, digits.size())));
    const bool is_short = parts.size() <= 4 && (point == digits.size() || !parts.empty());
    parts.resize(4, '0');
    parts.insert(0, "1");  // A number may not begin with 0.
    const Result<std::int64_t> whole = parse_integer(digits.substr(0, point), 90, 99);
    const Result<std::int64_t> part = parse_integer(parts, 10'000, 19'999);
    if (!has_sign || !is_short || !whole.ok() || !part.ok()) {
        return findings.add(
            node.place, fmt::format("'availability' must be 90% to 99.9999%, not {}", shown(*text)),
            "availability: 99.9%");
    }
    spec.failures_allowed = 1'000'000 - *whole * 10'000 - (*part - 10'000);
}

void read_slo(const Node& node, ServiceSpec& spec, Findings& findings) {
    static constexpr Field<ServiceSpec> kFields[] = {{"availability", read_availability}, {"p99"}};
    read_fields(node, kFields, spec, findings);
}

// As useradd takes it; whether there is one is known where it runs.
void read_user(const Node& node, ServiceSpec& spec, Findings& findings) {
    const auto name = read_text(node, findings);
    if (!name) return;
    const bool is_name =
        !name->empty() && name->size() <= 32 &&
        name->find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos &&
        (name->front() == '_' || ('a' <= name->front() && name->front() <= 'z'));
    if (!is_name) {
        findings.add(node.place, fmt::format("{} is not a name of a user", shown(*name)),
                     "user: app");
    }
    spec.user = *name;
}

constexpr Field<ServiceSpec> kServiceFields[] = {
    {"path", read_path},
    {"build", read_build},
    {"run", read_run},
    {"port", read_port},
    {"public", read_public},
    {"calls", read_calls},
    {"env", read_environment},
    {"health", read_health},
    {"requests", read_requests},
    {"scale", read_scale},
    {"stop", read_stop},
    {"state", read_state},
    {"user", read_user},
    {"slo", read_slo},
    // Documented, and to come.
    {"degrade"},
    {"deploy"},
    {"limits"},
    {"image"},
    {"from"},
    {"publishes"},
    {"consumes"},
};

}  // namespace

Place Draft::place_of(std::string_view key) const {
    const Node* child = node->find(key);
    return child == nullptr ? node->key_place : child->place;
}

Draft read_service(const Node& node, Findings& findings) {
    Draft draft;
    draft.node = &node;
    draft.spec.name = node.key;
    draft.spec.path = node.key;
    const Status name = check_name(node.key);
    if (!name.ok()) findings.add(node.key_place, name.error().message);
    // `web:` with nothing below it is a service that says nothing yet.
    if (node.kind != Node::Kind::Null) { read_fields(node, kServiceFields, draft.spec, findings); }
    const bool is_map = node.kind == Node::Kind::Map || node.kind == Node::Kind::Null;
    // What another key would bring is refused as "not yet" already; one finding is enough.
    const bool is_elsewhere = node.find("from") != nullptr || node.find("image") != nullptr;
    if (is_map && node.find("run") == nullptr && !is_elsewhere) {
        findings.add(node.key_place,
                     fmt::format("service {} does not say how to run it", shown(node.key)),
                     "run: node server.js");
    }
    return draft;
}

}  // namespace thole::manifest
