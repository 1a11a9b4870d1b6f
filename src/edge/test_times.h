// Times as the edge has them, for its tests.
#pragma once

#include <cstdint>

namespace thole::edge {

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kSecond = 1000 * kMillisecond;

}  // namespace thole::edge
