#include "http/trace.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "http/hex.h"

namespace thole::http {
namespace {

bool is_lower_hex(std::string_view text) {
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_zero(std::string_view text) { return text.find_first_not_of('0') == text.npos; }

// Eight bytes, as the number that reads like them.
std::uint64_t number_of(const std::uint8_t* bytes) {
    std::uint64_t number = 0;
    std::memcpy(&number, bytes, sizeof(number));
    return __builtin_bswap64(number);
}

void write_parent(Traceparent& made, ParentIdBytes parent_id) {
    const std::uint64_t number = number_of(parent_id.data());
    write_hex16(made.text.data() + 36, number == 0 ? 1 : number);
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
    static_assert(kForm.size() == sizeof(made.text));
    std::memcpy(made.text.data(), kForm.data(), kForm.size());
    const std::uint64_t high = number_of(trace_id.data());
    const std::uint64_t low = number_of(trace_id.data() + 8);
    write_hex16(made.text.data() + 3, high);
    write_hex16(made.text.data() + 19, high == 0 && low == 0 ? 1 : low);
    write_parent(made, parent_id);
    made.text[54] = sampled == Sampled::Yes ? '1' : '0';
    return made;
}

Traceparent continue_traceparent(std::string_view received, ParentIdBytes parent_id) {
    CHECK(is_traceparent(received));
    Traceparent made{};
    std::copy_n(received.begin(), kTraceparentBytes, made.text.begin());
    made.text[0] = made.text[1] = '0';
    write_parent(made, parent_id);
    // Of the flags level 1 knows only "sampled"; others are not passed on.
    const bool is_sampled = std::string_view("13579bdf").find(received[54]) != received.npos;
    made.text[53] = '0';
    made.text[54] = is_sampled ? '1' : '0';
    return made;
}

}  // namespace thole::http
