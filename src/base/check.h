// CHECK(condition): "we are wrong". On in production. Never on anything that a user, a peer or a
// disk can cause. Writes the place to stderr without allocating (keeper uses it too) and aborts.
#pragma once

namespace thole {

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace thole

#define CHECK(condition)                               \
    (__builtin_expect(static_cast<bool>(condition), 1) \
         ? static_cast<void>(0)                        \
         : ::thole::check_failed(#condition, __FILE__, __LINE__))
