// What an epoll event of a worker is about: a connection's descriptor, or one of these.
#pragma once

#include <cstdint>

namespace thole::edge {

constexpr std::uint64_t kTagListener = 1ULL << 32;  // And its place in the table.
constexpr std::uint64_t kTagWake = 2ULL << 32;

}  // namespace thole::edge
