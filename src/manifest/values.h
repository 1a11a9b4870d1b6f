// Typed values of a node. Each returns nothing where it is something else; that is a finding then.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "manifest/findings.h"
#include "manifest/node.h"
#include "model/manifest.h"

namespace thole::manifest {

struct Range {
    std::int64_t least = 0;
    std::int64_t most = 0;
};

inline constexpr Range kPorts{.least = 1, .most = 65535};

// For keys that take other forms, too: what is meant as a number is told what is wrong with it.
bool looks_like_number(const Node& node);

std::optional<std::string> read_text(const Node& node, Findings& findings);
std::optional<std::int64_t> read_number(const Node& node, Range range, Findings& findings);
std::optional<Duration> read_duration(const Node& node, Findings& findings);
std::optional<std::int64_t> read_size(const Node& node, Findings& findings);
// Text, number or boolean as it is written: for arguments and variables.
std::optional<std::string> read_written(const Node& node, Findings& findings);
std::optional<model::Command> read_command(const Node& node, Findings& findings);
// A folder or file inside the manifest's: "web" of "./web/", "." of "./".
std::optional<std::string> read_inner_path(const Node& node, Findings& findings);
// Of a request: "/readyz".
std::optional<std::string> read_request_path(const Node& node, Findings& findings);
// An IPv4 address: "0.0.0.0".
std::optional<std::string> read_address(const Node& node, Findings& findings);
// Of IPv4: "10.0.0.0/8", or one address.
std::optional<model::Network> read_network(const Node& node, Findings& findings);

// "'scale' must be <wanted>, not a list".
void refuse_kind(const Node& node, std::string_view wanted, Findings& findings);
void refuse_key(const Node& child, std::span<const std::string_view> keys, Findings& findings);

// A key of a map: how its value is read into the target, or nothing where that comes later.
template <typename Target>
struct Field {
    std::string_view key;
    void (*read)(const Node& node, Target& target, Findings& findings) = nullptr;
};

template <typename Target, std::size_t kCount>
void read_fields(const Node& map, const Field<Target> (&fields)[kCount], Target& target,
                 Findings& findings) {
    if (map.kind == Node::Kind::Refused) return;
    if (map.kind != Node::Kind::Map) return refuse_kind(map, "a map of keys", findings);
    std::vector<std::string_view> keys;
    for (const Field<Target>& field : fields) {
        if (field.read != nullptr) keys.push_back(field.key);
    }
    for (const Node& child : map.children) {
        const Field<Target>* field =
            std::find_if(std::begin(fields), std::end(fields),
                         [&](const Field<Target>& known) { return known.key == child.key; });
        if (field == std::end(fields)) {
            refuse_key(child, keys, findings);
        } else if (field->read == nullptr) {
            findings.add_not_yet(child.key_place, child.key);
        } else if (child.kind != Node::Kind::Refused) {
            field->read(child, target, findings);
        }
    }
}

}  // namespace thole::manifest
