// What two threads write into one line of the processors' caches goes to and fro between them: what
// one worker writes with each request is in lines of its own.
#pragma once

#include <cstddef>

namespace thole::edge {

constexpr std::size_t kLineBytes = 64;

}  // namespace thole::edge
