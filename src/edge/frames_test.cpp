#include "edge/frames.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace thole::edge {
namespace {

using Kind = Frame::Kind;

std::string frame(std::uint8_t first, std::uint64_t payload, bool is_masked) {
    const char mask = is_masked ? '\x80' : '\0';
    std::string made(1, static_cast<char>(first));
    const int more = payload > 0xffff ? 8 : payload > 125 ? 2 : 0;
    const std::uint64_t in_second = more == 8 ? 127 : more == 2 ? 126 : payload;
    made += static_cast<char>(mask | static_cast<char>(in_second));
    for (int i = more - 1; i >= 0; --i) made += static_cast<char>(payload >> (8 * i) & 0xff);
    return made;
}

TEST(Frames, EveryLengthIsReadAsSoonAsItsHeaderIsWholeAndNoSooner) {
    for (const Sender sender : {Sender::Client, Sender::Server}) {
        const bool is_masked = sender == Sender::Client;
        for (const std::uint64_t payload :
             {0ULL, 1ULL, 125ULL, 126ULL, 65535ULL, 65536ULL, 1ULL << 40, (1ULL << 63) - 1}) {
            const std::string header = frame(0x82, payload, is_masked);
            for (std::size_t size = 0; size < header.size(); ++size)
                EXPECT_EQ(read_frame(header.substr(0, size), sender).kind, Kind::NeedMore) << size;
            const Frame read = read_frame(header + "payload", sender);
            EXPECT_EQ(read.kind, Kind::Data);
            EXPECT_EQ(read.bytes, header.size() + (is_masked ? 4 : 0) + payload);
        }
    }
}

TEST(Frames, AFrameThatClosesIsToldFromOthers) {
    const Frame read = read_frame(frame(0x88, 2, true), Sender::Client);
    EXPECT_EQ(read.kind, Kind::Close);
    EXPECT_EQ(read.bytes, 8U);
    for (const int first : {0x00, 0x80, 0x01, 0x41, 0xc1, 0x82, 0x89, 0x8a})
        EXPECT_EQ(
            read_frame(frame(static_cast<std::uint8_t>(first), 5, false), Sender::Server).kind,
            Kind::Data)
            << first;
}

TEST(Frames, WhatIsNoFrameIsFoundAtItsFirstBytes) {
    EXPECT_EQ(read_frame("hello", Sender::Client).kind, Kind::None);
    EXPECT_EQ(read_frame("h", Sender::Client).kind, Kind::None);
    for (const int first : {0x83, 0x87, 0x8b, 0x8f, 0xa1, 0x91, 0x08, 0x09})
        EXPECT_EQ(read_frame(std::string(1, static_cast<char>(first)), Sender::Server).kind,
                  Kind::None)
            << first;
    EXPECT_EQ(read_frame(frame(0x81, 1, false), Sender::Client).kind, Kind::None);
    EXPECT_EQ(read_frame(frame(0x81, 1, true), Sender::Server).kind, Kind::None);
    EXPECT_EQ(read_frame(frame(0x89, 126, false), Sender::Server).kind, Kind::None);
    EXPECT_EQ(read_frame(frame(0x82, 1ULL << 63, false), Sender::Server).kind, Kind::None);
}

// However a stream is cut, the same borders are found.
TEST(Frames, BordersAreFoundByteByByte) {
    std::string stream;
    std::vector<std::uint64_t> borders;
    for (const std::uint64_t payload : {0U, 3U, 125U, 126U, 70000U, 1U}) {
        stream += frame(0x82, payload, true) + std::string(4 + payload, '\xff');
        borders.push_back(stream.size());
    }
    std::vector<std::uint64_t> found;
    std::uint64_t next = 0;
    for (std::uint64_t in = 1; in <= stream.size(); ++in) {
        while (next < in) {
            const std::string_view bytes(stream);
            const Frame read = read_frame(bytes.substr(next, in - next), Sender::Client);
            if (read.kind == Kind::NeedMore) break;
            ASSERT_EQ(read.kind, Kind::Data);
            found.push_back(next += read.bytes);
        }
    }
    EXPECT_EQ(found, borders);
}

}  // namespace
}  // namespace thole::edge
