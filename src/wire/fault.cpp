#include "wire/fault.h"

#include <algorithm>
#include <cstring>

namespace thole::wire {
namespace {

constexpr std::uint32_t kShareMax = 1000;
constexpr std::uint64_t kRateMax = 1'000'000'000;

bool is_time(std::int64_t time_ns) { return time_ns >= 0 && time_ns <= kFaultTimeMax; }

}  // namespace

bool is_sound_text(const char* text, std::size_t size) {
    const char* const end = static_cast<const char*>(std::memchr(text, 0, size));
    return end != nullptr && std::none_of(text, end, [](char c) {
               return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
           });
}

bool is_sound(const FaultTerms& terms) {
    return terms.id >= 1 && terms.id <= kFaultIdMax && terms.kind < FaultKind::Count_ &&
           terms.share >= 1 && terms.share <= kShareMax && terms.status <= 999 &&
           is_time(terms.delay) && is_time(terms.jitter) && terms.rate <= kRateMax &&
           is_time(terms.until) && is_sound_text(terms.field, sizeof(terms.field)) &&
           is_sound_text(terms.value, sizeof(terms.value)) &&
           is_sound_text(terms.by, sizeof(terms.by));
}

bool is_sound(const FaultState& fault) {
    return is_sound(fault.terms) && is_time(fault.begun) && fault.begun <= fault.terms.until;
}

}  // namespace thole::wire
