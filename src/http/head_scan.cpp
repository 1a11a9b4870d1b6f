#include <algorithm>

#include "http/grammar.h"
#include "http/head.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace thole::http {
namespace {

// The first byte that is a control other than HTAB, or `end`.
const char* skip_plain(const char* at, const char* end) {
#ifdef __SSE2__
    const __m128i last_control = _mm_set1_epi8(0x1f);
    const __m128i del = _mm_set1_epi8(0x7f);
    const __m128i tab = _mm_set1_epi8('\t');
    while (end - at >= 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
        const __m128i control = _mm_or_si128(low, _mm_cmpeq_epi8(bytes, del));
        const __m128i found = _mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), control);
        const int mask = _mm_movemask_epi8(found);
        if (mask != 0) return at + __builtin_ctz(static_cast<unsigned>(mask));
        at += 16;
    }
#endif
    while (at < end && is_value_byte(*at)) ++at;
    return at;
}

HeadResult refused(Rule rule) {
    return {.state = HeadState::Bad, .rule = rule, .status = text_of(rule).status};
}

}  // namespace

HeadResult find_head_end(std::string_view bytes, std::size_t from) {
    const std::size_t most = std::min(bytes.size(), kHeadBytesMax);
    std::size_t at = std::min(from, most);
    for (;;) {
        const char* const found = skip_plain(bytes.data() + at, bytes.data() + most);
        at = static_cast<std::size_t>(found - bytes.data());
        if (at >= most) break;
        if (bytes[at] != '\r') { return refused(bytes[at] == '\n' ? Rule::BareLf : Rule::Control); }
        if (at + 1 == most) break;
        if (bytes[at + 1] != '\n') return refused(Rule::BareCr);
        // A LF before this one passed as the end of a line, or the search had ended there.
        if (at > 0 && bytes[at - 1] == '\n') { return {.state = HeadState::Done, .bytes = at + 2}; }
        at += 2;
    }
    if (most == kHeadBytesMax) return refused(Rule::HeadLong);
    return {.state = HeadState::NeedMore, .bytes = at};
}

}  // namespace thole::http
