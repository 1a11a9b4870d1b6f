#include "http/trace.h"

#include <algorithm>

#include "base/check.h"

namespace thole::http {
namespace {

bool is_lower_hex(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) { return text.find_first_not_of('0') == text.npos; }

void write_id(char* to, std::span<const std::uint8_t> bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const char* const begin = to;
    for (const std::uint8_t byte : bytes) {
        *to++ = kDigits[byte >> 4];
        *to++ = kDigits[byte & 15];
    }
    if (is_zero({begin, 2 * bytes.size()})) to[-1] = '1';
}

}  // namespace

bool is_traceparent(std::string_view text) {
    if (text.size() < kTraceparentBytes) return false;
    if (text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
    const std::string_view version = text.substr(0, 2);
    if (!is_lower_hex(version) || version == "ff") return false;
    if (text.size() > kTraceparentBytes && (version == "00" || text[55] != '-')) return false;
    const std::string_view trace_id = text.substr(3, 32);
    const std::string_view parent_id = text.substr(36, 16);
    return is_lower_hex(trace_id) && is_lower_hex(parent_id) && is_lower_hex(text.substr(53, 2)) &&
           !is_zero(trace_id) && !is_zero(parent_id);
}

Traceparent make_traceparent(TraceIdBytes trace_id, ParentIdBytes parent_id, Sampled sampled) {
    Traceparent made{};
    constexpr std::string_view kForm = "00-................................-................-00";
    std::copy(kForm.begin(), kForm.end(), made.text.begin());
    write_id(made.text.data() + 3, trace_id);
    write_id(made.text.data() + 36, parent_id);
    made.text[54] = sampled == Sampled::Yes ? '1' : '0';
    return made;
}

Traceparent continue_traceparent(std::string_view received, ParentIdBytes parent_id) {
    CHECK(is_traceparent(received));
    Traceparent made{};
    std::copy_n(received.begin(), kTraceparentBytes, made.text.begin());
    made.text[0] = made.text[1] = '0';
    write_id(made.text.data() + 36, parent_id);
    // Of the flags level 1 knows only "sampled"; others are not passed on.
    const bool is_sampled = std::string_view("13579bdf").find(received[54]) != received.npos;
    made.text[53] = '0';
    made.text[54] = is_sampled ? '1' : '0';
    return made;
}

}  // namespace thole::http
