// YAML text as a tree whose every part knows its place. Knows nothing of manifests. Takes what a
// person writes: one document, no anchors, no tags, each key once; YAML 1.2's core schema.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "manifest/findings.h"

namespace thole::manifest {

struct Node {
    enum class Kind : std::uint8_t {
        Refused,  // Already among the findings; whoever reads on says nothing more of it.
        Null,
        Boolean,
        Integer,
        Float,
        Text,
        List,
        Map,
    };
    Kind kind = Kind::Null;
    Place place;
    std::string text;  // Of a scalar, as it is written, without quotes.
    bool is_quoted = false;
    std::string key;  // Within a map, as it is written; else empty.
    Place key_place;
    std::vector<Node> children;  // Of a list or a map, in the order of the text.

    bool is_scalar() const { return Kind::Null <= kind && kind <= Kind::Text; }
    const Node* find(std::string_view name) const;
};

// "a list", "a number", for messages.
std::string_view name_of(Node::Kind kind);

// Without a value where the text is no YAML; there is a finding then.
std::optional<Node> read_tree(std::string_view text, Findings& findings);

// What an unquoted scalar is in the core schema: `no`, `on` and `1_000` are texts.
Node::Kind kind_of_plain(std::string_view text);

}  // namespace thole::manifest
