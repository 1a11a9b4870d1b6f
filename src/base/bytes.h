// Bytes on a wire or a disk: little-endian writer and bounds-checked reader, CRC-32C, hex.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace thole {

// CRC-32C (Castagnoli), reflected, as in RFC 3720 appendix B.4. `seed` is a former result, to go
// on.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);

// 64-bit FNV-1a: for hash tables and ids of small things, never against an adversary.
constexpr std::uint64_t fnv1a(std::string_view bytes, std::uint64_t seed = 0xcbf29ce484222325U) {
    for (const char c : bytes) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return seed;
}

std::string to_hex(std::string_view bytes);

// Appends fixed-width little-endian numbers and length-prefixed texts.
class ByteWriter {
public:
    void u8(std::uint8_t value) { out_.push_back(static_cast<char>(value)); }
    void u16(std::uint16_t value) { put(value, 2); }
    void u32(std::uint32_t value) { put(value, 4); }
    void u64(std::uint64_t value) { put(value, 8); }
    void i64(std::int64_t value) { put(static_cast<std::uint64_t>(value), 8); }
    // u32 length, then the bytes.
    void text(std::string_view value);
    const std::string& bytes() const { return out_; }
    std::string take() { return std::move(out_); }

private:
    void put(std::uint64_t value, int width);
    std::string out_;
};

// Reads what ByteWriter wrote. Past the end everything reads as 0 and empty, and ok() stays false:
// callers read all fields and then ask once. text() views into the input.
class ByteReader {
public:
    explicit ByteReader(std::string_view in) : rest_(in) {}
    std::uint8_t u8() { return static_cast<std::uint8_t>(take(1)); }
    std::uint16_t u16() { return static_cast<std::uint16_t>(take(2)); }
    std::uint32_t u32() { return static_cast<std::uint32_t>(take(4)); }
    std::uint64_t u64() { return take(8); }
    std::int64_t i64() { return static_cast<std::int64_t>(take(8)); }
    std::string_view text();
    bool ok() const { return ok_; }
    bool at_end() const { return ok_ && rest_.empty(); }
    std::size_t left() const { return rest_.size(); }

private:
    std::uint64_t take(std::size_t width);
    std::string_view rest_;
    bool ok_ = true;
};

}  // namespace thole
