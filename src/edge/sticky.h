// By what the requests of one user are told from those of others: a cookie or a header that the
// service's manifest names. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/head.h"
#include "wire/snapshot.h"

namespace thole::edge {

// Plain data; lies in the segment with the routes.
struct StickyKey {
    wire::StickyBy by;
    std::uint32_t bytes;
    char name[wire::kStickyNameMax];
};

StickyKey sticky_key_of(const wire::SnapshotSticky& sticky);

// What stands there, of several the first; empty: nothing. A cookie's name as it is written, large
// and small letters told apart (RFC 6265 section 5.4).
std::string_view key_of(const StickyKey& sticky, const http::RequestHead& head);

}  // namespace thole::edge
