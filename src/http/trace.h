// The traceparent field of W3C Trace Context, level 1: "00-<32 hex>-<16 hex>-<2 hex>". Checked and
// made; deliberately no spans, no sampling decisions, no randomness: the caller gives the bytes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace thole::http {

constexpr std::size_t kTraceparentBytes = 55;

enum class Sampled : std::uint8_t { No, Yes };

struct Traceparent {
    std::array<char, kTraceparentBytes> text;
    std::string_view view() const { return {text.data(), text.size()}; }
    std::string_view trace_id() const { return view().substr(3, 32); }
    std::string_view parent_id() const { return view().substr(36, 16); }
};

// Lower-case hex only, ids not all zero, version not ff; a later version may go on after a dash.
bool is_traceparent(std::string_view text);

using TraceIdBytes = std::span<const std::uint8_t, 16>;
using ParentIdBytes = std::span<const std::uint8_t, 8>;

// A new trace. Ids of zeros are not allowed, so they become ...01.
Traceparent make_traceparent(TraceIdBytes trace_id, ParentIdBytes parent_id, Sampled sampled);

// The same trace with us as the parent. `received` must be a traceparent; what a later version
// adds is dropped, and the version becomes 00, as the standard asks of those who do not know it.
Traceparent continue_traceparent(std::string_view received, ParentIdBytes parent_id);

}  // namespace thole::http
