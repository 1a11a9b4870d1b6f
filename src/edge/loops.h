// How a request that comes back is known: each one that we forward gets a Via of ours, which
// whoever sends it on passes on with it (RFC 9110 section 7.6.3). Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace thole::edge {

class OwnVia {
public:
    // `system` tells ours from all others, and is the same for all edges of it: its run folder,
    // whose name is drawn at random.
    explicit OwnVia(std::string_view system);

    // "1.1 thole-0123abcd", by the version in which the request came.
    std::string_view of(std::uint8_t version_minor) const;
    // How often we are named in this value of a Via field, which may be a list.
    std::uint32_t count_in(std::string_view value) const;

private:
    std::array<char, 18> old_, usual_;  // Of HTTP/1.0, of HTTP/1.1.
};

}  // namespace thole::edge
