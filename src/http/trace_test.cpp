#include "http/trace.h"

#include <gtest/gtest.h>

#include <string>

namespace thole::http {
namespace {

const std::string kGood = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(Traceparent, IsCheckedByTheStandard) {
    EXPECT_TRUE(is_traceparent(kGood));
    EXPECT_TRUE(is_traceparent("cc" + kGood.substr(2) + "-more"));
    EXPECT_TRUE(is_traceparent("01" + kGood.substr(2)));
    EXPECT_FALSE(is_traceparent(""));
    EXPECT_FALSE(is_traceparent(kGood.substr(1)));
    EXPECT_FALSE(is_traceparent(kGood + "-more"));
    EXPECT_FALSE(is_traceparent("cc" + kGood.substr(2) + "more"));
    EXPECT_FALSE(is_traceparent("ff" + kGood.substr(2)));
    EXPECT_FALSE(is_traceparent("0x" + kGood.substr(2)));
    for (const std::size_t dash : {2U, 35U, 52U}) {
        EXPECT_FALSE(is_traceparent(std::string(kGood).replace(dash, 1, "_")));
    }
    EXPECT_FALSE(is_traceparent(std::string(kGood).replace(3, 1, "B")));
    EXPECT_FALSE(is_traceparent(std::string(kGood).replace(54, 1, "g")));
    EXPECT_FALSE(is_traceparent(std::string(kGood).replace(3, 32, std::string(32, '0'))));
    EXPECT_FALSE(is_traceparent(std::string(kGood).replace(36, 16, std::string(16, '0'))));
}

TEST(Traceparent, IsMadeFromTheBytesGiven) {
    const std::array<std::uint8_t, 16> trace = {0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6,
                                                0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36};
    const std::array<std::uint8_t, 8> parent = {0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7};
    EXPECT_EQ(make_traceparent(trace, parent, Sampled::Yes).view(), kGood);
    EXPECT_EQ(make_traceparent(trace, parent, Sampled::No).view().back(), '0');
}

TEST(Traceparent, IsValidEvenFromZeros) {
    const std::array<std::uint8_t, 16> trace = {};
    const std::array<std::uint8_t, 8> parent = {};
    EXPECT_TRUE(is_traceparent(make_traceparent(trace, parent, Sampled::No).view()));
}

TEST(Traceparent, KeepsTheTraceAndNamesTheNewParent) {
    const std::array<std::uint8_t, 8> parent = {1, 2, 3, 4, 5, 6, 7, 8};
    const Traceparent next = continue_traceparent("cc" + kGood.substr(2) + "-more", parent);
    EXPECT_EQ(next.view(), "00-4bf92f3577b34da6a3ce929d0e0e4736-0102030405060708-01");
    EXPECT_EQ(next.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    EXPECT_EQ(next.parent_id(), "0102030405060708");
    const Traceparent unsampled = continue_traceparent(kGood.substr(0, 53) + "fe", parent);
    EXPECT_EQ(unsampled.view().substr(53), "00");
}

}  // namespace
}  // namespace thole::http
