// One frame is one datagram of a SOCK_SEQPACKET unix socket:
//
//     frame  = magic:u32 version:u16 type:u16 length:u32 checksum:u32 body[length]
//
// `checksum` is CRC-32C over the first twelve bytes and the body. A reader that meets a wrong
// magic, version, length or checksum closes the link: the peer is not who it says it is. Nothing
// here allocates but seal().
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace thole::wire {

constexpr std::uint32_t kFrameMagic = 0x6c6f6874;  // "thol"
constexpr std::uint16_t kFrameVersion = 1;
constexpr std::size_t kFrameHeaderBytes = 16;
// Below the smallest default send buffer of a unix socket on Linux (212 992 B), with room to spare.
constexpr std::size_t kFrameBytesMax = 128 * 1024;
constexpr std::size_t kFrameBodyBytesMax = kFrameBytesMax - kFrameHeaderBytes;

struct FrameHeader {
    std::uint32_t magic;
    std::uint16_t version;
    std::uint16_t type;
    std::uint32_t length_bytes;
    std::uint32_t checksum;
};
static_assert(sizeof(FrameHeader) == kFrameHeaderBytes);

struct Frame {
    std::uint16_t type = 0;
    std::string_view body;  // Views into the datagram.
};

// The header for this body; for a caller that sends header and body by one sendmsg.
FrameHeader frame_header(std::uint16_t type, std::string_view body);
// Header and body as one string. The body fits kFrameBodyBytesMax.
std::string seal(std::uint16_t type, std::string_view body);
// What the datagram holds, or nothing where it is damaged or of another version.
std::optional<Frame> open_frame(std::string_view datagram);

// A body that is one struct.
template <typename Message, typename Type>
std::string seal_message(Type type, const Message& message) {
    static_assert(std::is_trivially_copyable_v<Message>);
    return seal(static_cast<std::uint16_t>(type),
                std::string_view(reinterpret_cast<const char*>(&message), sizeof(Message)));
}

// Copies the struct out of a body of exactly its size.
template <typename Message>
std::optional<Message> read_message(std::string_view body) {
    static_assert(std::is_trivially_copyable_v<Message>);
    if (body.size() != sizeof(Message)) return std::nullopt;
    Message message;
    std::memcpy(&message, body.data(), sizeof(Message));
    return message;
}

}  // namespace thole::wire
