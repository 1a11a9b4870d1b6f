#include "http/hex.h"

#include <gtest/gtest.h>

#include <string>

namespace thole::http {
namespace {

std::string written(std::uint64_t value) {
    std::string text(16, '?');
    write_hex16(text.data(), value);
    return text;
}

TEST(Hex, WritesEachDigitInEachPlace) {
    constexpr char kDigits[] = "0123456789abcdef";
    for (unsigned place = 0; place < 16; ++place) {
        for (std::uint64_t digit = 0; digit < 16; ++digit) {
            std::string wanted(16, '0');
            wanted[15 - place] = kDigits[digit];
            EXPECT_EQ(written(digit << (4 * place)), wanted);
        }
    }
}

TEST(Hex, KeepsTheOrder) {
    EXPECT_EQ(written(0x0123456789abcdefU), "0123456789abcdef");
    EXPECT_EQ(written(0xfedcba9876543210U), "fedcba9876543210");
    EXPECT_EQ(written(~std::uint64_t{0}), "ffffffffffffffff");
}

}  // namespace
}  // namespace thole::http
