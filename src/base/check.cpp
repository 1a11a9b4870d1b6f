#include "base/check.h"

#include <unistd.h>
#include <cstdlib>
#include <cstring>

namespace thole {

namespace {

void put(const char* text) noexcept {
    // What cannot be written to stderr here has no other place to go.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
}

}  // namespace

void check_failed(const char* condition, const char* file, int line) noexcept {
    char digits[12] = {};
    int at = static_cast<int>(sizeof digits) - 1;
    int rest = line < 0 ? 0 : line;
    do {
        digits[--at] = static_cast<char>('0' + rest % 10);
        rest /= 10;
    } while (rest > 0 && at > 0);
    put("thole: broken invariant: ");
    put(condition);
    put(" at ");
    put(file);
    put(":");
    put(digits + at);
    put("\n");
    std::abort();
}

}  // namespace thole
