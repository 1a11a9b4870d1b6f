#include "http/grammar.h"

#include <algorithm>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace thole::http {
namespace {

bool is_port(std::string_view text) {
    if (text.size() > 5) return false;
    int number = 0;
    for (const char c : text) {
        if (!is_digit(c)) return false;
        number = number * 10 + (c - '0');
    }
    return number <= 65535;
}

bool is_host_byte(char c) {
    const char lower = to_lower(c);
    return is_digit(c) || (lower >= 'a' && lower <= 'z') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

}  // namespace

// What may not stand there are the controls but HTAB. Sixteen at a time; the last sixteen may begin
// among those before.
std::size_t skip_value(std::string_view text) {
    std::size_t at = 0;
#ifdef __SSE2__
    constexpr std::size_t kAtOnce = 16;
    while (text.size() >= kAtOnce && at < text.size()) {
        const std::size_t from = std::min(at, text.size() - kAtOnce);
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + from));
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
        const __m128i control = _mm_or_si128(low, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
        const __m128i found = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t')), control);
        // Those before `at` were looked at.
        const unsigned mask = static_cast<unsigned>(_mm_movemask_epi8(found)) >> (at - from);
        if (mask != 0) return at + static_cast<std::size_t>(__builtin_ctz(mask));
        at = from + kAtOnce;
    }
#endif
    while (at < text.size() && is_value_byte(text[at])) ++at;
    return at;
}

bool same_letters(const char* left, const char* right, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) {
        if (left[i] != right[i] && to_lower(left[i]) != to_lower(right[i])) return false;
    }
    return true;
}

bool has_prefix(std::string_view name, std::string_view lower_case_prefix) {
    return same_name(name.substr(0, lower_case_prefix.size()), lower_case_prefix);
}

std::string_view trim(std::string_view text) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

bool is_host(std::string_view text) {
    std::size_t end = 0;
    if (!text.empty() && text.front() == '[') {
        end = text.find(']');
        if (end == std::string_view::npos || end < 3 || end > 46) return false;
        const std::string_view address = text.substr(1, end - 1);
        const bool is_plain = std::all_of(address.begin(), address.end(), [](char c) {
            return hex_digit(c) >= 0 || c == ':' || c == '.';
        });
        if (!is_plain || address.find(':') == std::string_view::npos) return false;
        ++end;
    } else {
        while (end < text.size() && is_host_byte(text[end])) ++end;
        if (end == 0 || end > 255) return false;
    }
    if (end == text.size()) return true;
    return text[end] == ':' && is_port(text.substr(end + 1));
}

bool next_element(std::string_view& list, std::string_view& element) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        element = trim(list.substr(0, comma));
        list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
        if (!element.empty()) return true;
    }
    return false;
}

}  // namespace thole::http
