// How much memory this process may use, as its cgroups have it (v2's memory.max, v1's
// memory.limit_in_bytes): the least of its own and of those above it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace thole::edge {

// The text of a file; empty where there is none.
using ReadText = std::function<std::string(const std::string&)>;

// In bytes; nothing where there is no limit, or none can be read.
std::optional<std::uint64_t> memory_limit(const ReadText& read);

}  // namespace thole::edge
