#include "edge/frames.h"

namespace thole::edge {
namespace {

constexpr std::uint8_t kFinal = 0x80, kOfNoExtension = 0x30, kOpcode = 0x0f, kControl = 0x08;
constexpr std::uint8_t kOpClose = 8, kOpBinary = 2, kOpPong = 10;
constexpr std::uint8_t kMasked = 0x80, kLength = 0x7f;
constexpr std::uint8_t kLengthIn2 = 126, kLengthIn8 = 127;
constexpr std::size_t kMaskBytes = 4;

bool may_begin(std::uint8_t first) {
    const std::uint8_t opcode = first & kOpcode;
    const bool is_known = opcode <= kOpBinary || (opcode >= kOpClose && opcode <= kOpPong);
    const bool is_split_control = (opcode & kControl) != 0 && (first & kFinal) == 0;
    return is_known && !is_split_control && (first & kOfNoExtension) == 0;
}

}  // namespace

Frame read_frame(std::string_view bytes, Sender sender) {
    const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    if (bytes.empty()) return {};
    if (!may_begin(at(0))) return {Frame::Kind::None};
    if (bytes.size() < 2) return {};
    const bool is_masked = (at(1) & kMasked) != 0;
    const std::uint8_t length = at(1) & kLength;
    const bool is_long_control = (at(0) & kControl) != 0 && length >= kLengthIn2;
    if (is_masked != (sender == Sender::Client) || is_long_control) return {Frame::Kind::None};
    const std::size_t more = length == kLengthIn8 ? 8U : length == kLengthIn2 ? 2U : 0U;
    if (bytes.size() < 2 + more) return {};
    std::uint64_t payload = more == 0 ? length : 0;
    for (std::size_t i = 2; i < 2 + more; ++i) payload = payload << 8 | at(i);
    if (payload >> 63 != 0) return {Frame::Kind::None};
    const bool closes = (at(0) & kOpcode) == kOpClose;
    return {closes ? Frame::Kind::Close : Frame::Kind::Data,
            2 + more + (is_masked ? kMaskBytes : 0U) + payload};
}

}  // namespace thole::edge
