// Numbers as lower-case hexadecimal digits of a fixed width, many at a time: each id of a request
// is written several times. Pure, no allocation.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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
#ifdef __SSE2__
    // The same with registers of sixteen bytes.
    const __m128i bytes = _mm_cvtsi64_si128(static_cast<long long>(__builtin_bswap64(value)));
    const __m128i low_halves = _mm_set1_epi8(0x0f);
    const __m128i high = _mm_and_si128(_mm_srli_epi64(bytes, 4), low_halves);
    const __m128i digits = _mm_unpacklo_epi8(high, _mm_and_si128(bytes, low_halves));
    const __m128i letters =
        _mm_and_si128(_mm_cmpgt_epi8(digits, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '9' - 1));
    const __m128i text = _mm_add_epi8(_mm_add_epi8(digits, _mm_set1_epi8('0')), letters);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), text);
#else
    write_hex8(to, static_cast<std::uint32_t>(value >> 32));
    write_hex8(to + 8, static_cast<std::uint32_t>(value));
#endif
}

}  // namespace thole::http
