// The field lines of a head and what they say about framing and the connection: the part of parsing
// that requests and responses share. For head.cpp only; what it finds ends up in the heads.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/head.h"

namespace thole::http {

enum class Folding : std::uint8_t { Refused, Kept };

// What was seen, before it is judged together.
struct FieldFacts {
    std::uint32_t hosts = 0;
    std::uint32_t upgrades = 0;
    bool has_length = false;
    bool has_coding = false;
    bool says_close = false;
    bool says_keep_alive = false;
    bool says_upgrade = false;
    std::string_view host;
    std::string_view upgrade;
};

// `lines` are whole lines with their CRLF, already free of stray CR, LF and controls.
Rule parse_field_lines(std::string_view lines, Folding folding, MessageHead& head,
                       FieldFacts& facts);

// Content-Length and Transfer-Encoding together, and persistence; framing None where neither is
// said.
Rule conclude_framing(const FieldFacts& facts, MessageHead& head);

}  // namespace thole::http
