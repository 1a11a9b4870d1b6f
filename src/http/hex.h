// Numbers as lower-case hexadecimal digits of a fixed width, eight at a time: each id of a request
// is written several times. Pure, no allocation.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace thole::http {

// Eight digits, the highest first. Each half-byte goes into a byte of its own by shifts and masks
// (Warren, Hacker's Delight, 7-2); those above 9 are moved on from '9' + 1 to 'a'.
inline void write_hex8(char* to, std::uint32_t value) {
    static_assert(std::endian::native == std::endian::little);
    std::uint64_t digits = value;
    digits = (digits | digits << 16) & 0x0000ffff0000ffffU;
    digits = (digits | digits << 8) & 0x00ff00ff00ff00ffU;
    digits = (digits | digits << 4) & 0x0f0f0f0f0f0f0f0fU;
    const std::uint64_t is_letter = ((digits + 0x0606060606060606U) >> 4) & 0x0101010101010101U;
    digits = digits + 0x3030303030303030U + is_letter * ('a' - '9' - 1);
    digits = __builtin_bswap64(digits);
    std::memcpy(to, &digits, sizeof(digits));
}

inline void write_hex16(char* to, std::uint64_t value) {
    write_hex8(to, static_cast<std::uint32_t>(value >> 32));
    write_hex8(to + 8, static_cast<std::uint32_t>(value));
}

}  // namespace thole::http
