// A header and rows of one kind, as a frame.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wire/edge.h"
#include "wire/frame.h"

namespace thole::edge {

template <typename Header, typename Row>
std::string frame_of(wire::EdgeMessage type, const Header& header, const std::vector<Row>& rows) {
    std::string body(reinterpret_cast<const char*>(&header), sizeof(header));
    body.append(reinterpret_cast<const char*>(rows.data()), rows.size() * sizeof(Row));
    return wire::seal(static_cast<std::uint16_t>(type), body);
}

}  // namespace thole::edge
