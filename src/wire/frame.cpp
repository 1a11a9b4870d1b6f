#include "wire/frame.h"

#include "base/bytes.h"
#include "base/check.h"

namespace thole::wire {
namespace {

std::uint32_t checksum_of(const FrameHeader& header, std::string_view body) {
    const std::string_view front(reinterpret_cast<const char*>(&header), 12);
    return crc32c(body, crc32c(front));
}

}  // namespace

FrameHeader frame_header(std::uint16_t type, std::string_view body) {
    CHECK(body.size() <= kFrameBodyBytesMax);
    FrameHeader header{kFrameMagic, kFrameVersion, type, static_cast<std::uint32_t>(body.size()),
                       0};
    header.checksum = checksum_of(header, body);
    return header;
}

std::string seal(std::uint16_t type, std::string_view body) {
    const FrameHeader header = frame_header(type, body);
    std::string frame(reinterpret_cast<const char*>(&header), sizeof(header));
    frame.append(body);
    return frame;
}

std::optional<Frame> open_frame(std::string_view datagram) {
    FrameHeader header;
    if (datagram.size() < sizeof(header) || datagram.size() > kFrameBytesMax) return std::nullopt;
    std::memcpy(&header, datagram.data(), sizeof(header));
    const std::string_view body = datagram.substr(sizeof(header));
    if (header.magic != kFrameMagic || header.version != kFrameVersion) return std::nullopt;
    if (header.length_bytes != body.size() || header.checksum != checksum_of(header, body))
        return std::nullopt;
    return Frame{header.type, body};
}

}  // namespace thole::wire
