// Strict parsers for what people and peers write. Each refuses anything but the exact form, names
// what it saw, and never overflows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace thole {

// Decimal digits only, an optional leading '-' where `least` is negative; no '+', blanks, or
// leading zeros.
Result<std::int64_t> parse_integer(std::string_view text, std::int64_t least, std::int64_t most);

// "250ms", "5s", "2m", "1h", "7d". A bare number is an error: it has taken systems down. At most 10
// years.
Result<Duration> parse_duration(std::string_view text);
// The shortest form that parse_duration reads back to the same value (whole milliseconds).
std::string print_duration(Duration duration);

// "512", "64Ki", "256Mi", "2Gi", "1Ti" (powers of 1024) or "10k", "10M", "10G" (powers of 1000), in
// bytes.
Result<std::int64_t> parse_size(std::string_view text);

// "10%" or "0.5%", 0% to 100%, in thousandths; finer ones are none.
Result<std::int64_t> parse_share(std::string_view text);
std::string print_share(std::int64_t per_mille);

// A name of a service or system: 1-63 of [a-z0-9-], starts with a letter, ends with a letter or
// digit (RFC 1123 label, so that it can be a host name, a folder and an environment variable).
Status check_name(std::string_view text);

// Edit distance for "did you mean": insertions, deletions, replacements, swaps of neighbours.
std::size_t edit_distance(std::string_view left, std::string_view right);

}  // namespace thole
