#include "edge/deadline.h"

#include <algorithm>

namespace thole::edge {

namespace {

constexpr std::int64_t kMicrosecond = 1000;
constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::size_t kDigitsMax = 8;
constexpr std::int64_t kNumberMax = 99'999'999;

std::optional<std::int64_t> read_digits(std::string_view digits) {
    if (digits.empty() || digits.size() > kDigitsMax) return std::nullopt;
    std::int64_t number = 0;
    for (const char digit : digits) {
        if (digit < '0' || digit > '9') return std::nullopt;
        number = number * 10 + (digit - '0');
    }
    return number;
}

// 0 where there is no such unit.
std::int64_t unit_ns(char unit) {
    switch (unit) {
        case 'H': return 3600 * kSecond;
        case 'M': return 60 * kSecond;
        case 'S': return kSecond;
        case 'm': return kMillisecond;
        case 'u': return kMicrosecond;
        case 'n': return 1;
        default: return 0;
    }
}

std::int64_t times(std::int64_t number, std::int64_t unit) {
    return number > kTimeoutMaxNs / unit ? kTimeoutMaxNs : number * unit;
}

// Right-aligned decimal digits; what is before them is left as it is.
void write_digits(char* begin, std::size_t width, std::int64_t number) {
    do {
        begin[--width] = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number > 0 && width > 0);
}

}  // namespace

std::optional<std::int64_t> read_timeout_ms(std::string_view value) {
    const std::optional<std::int64_t> number = read_digits(value);
    if (!number) return std::nullopt;
    return times(*number, kMillisecond);
}

std::optional<std::int64_t> read_grpc_timeout(std::string_view value) {
    if (value.empty()) return std::nullopt;
    const std::int64_t unit = unit_ns(value.back());
    const std::optional<std::int64_t> number = read_digits(value.substr(0, value.size() - 1));
    if (unit == 0 || !number) return std::nullopt;
    return times(*number, unit);
}

std::int64_t deadline_ns(std::int64_t begun_ns, std::optional<std::int64_t> wished_ns,
                         std::int64_t limit_ns) {
    const std::int64_t limit = std::min(limit_ns, kTimeoutMaxNs);
    return begun_ns + (wished_ns ? std::min(*wished_ns, limit) : limit);
}

TimeoutMs write_timeout_ms(std::int64_t remaining_ns) {
    TimeoutMs text;
    // Blanks, not zeros: they are no part of a field's value (RFC 9110 section 5.5), and some read
    // a number with a leading zero as octal.
    text.fill(' ');
    const std::int64_t left = std::max<std::int64_t>(remaining_ns, 0) / kMillisecond;
    write_digits(text.data(), text.size(), std::min(left, kNumberMax));
    return text;
}

GrpcTimeout write_grpc_timeout(std::int64_t remaining_ns) {
    GrpcTimeout text;
    text.fill('0');
    const std::int64_t left = std::max<std::int64_t>(remaining_ns, 0);
    char unit = 'S';
    if (left / kMicrosecond <= kNumberMax) {
        unit = 'u';
    } else if (left / kMillisecond <= kNumberMax) {
        unit = 'm';
    }
    write_digits(text.data(), kDigitsMax, std::min(left / unit_ns(unit), kNumberMax));
    text.back() = unit;
    return text;
}

bool can_finish(std::int64_t remaining_ns, const Usual& usual, Random& random) {
    if (remaining_ns <= 0) return false;
    if (usual.samples < kUsualSamplesMin || remaining_ns >= usual.half_ns) return true;
    return random.below(kTriedAnyway) == 0;
}

}  // namespace thole::edge
