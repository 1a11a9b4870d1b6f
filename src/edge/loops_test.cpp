// By what a request that comes back is known, whoever has passed it on in whichever form.
#include "edge/loops.h"

#include <gtest/gtest.h>

#include <string>

#include "edge/heads.h"

namespace thole::edge {
namespace {

const OwnVia kOurs("/run/thole/0123456789ab");
const std::string kUs(kOurs.of(1));

TEST(OwnVia, IsTheSameForOneSystemAndNotForTwo) {
    EXPECT_EQ(kUs.substr(0, 10), "1.1 thole-");
    EXPECT_EQ(kUs.size(), 18U);
    EXPECT_EQ(kUs.find_first_not_of("0123456789abcdef", 10), std::string::npos) << kUs;
    EXPECT_EQ(OwnVia("/run/thole/0123456789ab").of(1), kUs);
    EXPECT_NE(OwnVia("/run/thole/0123456789ac").of(1), kUs);
    EXPECT_EQ(kOurs.of(0), "1.0" + kUs.substr(3));
}

TEST(OwnVia, IsCountedInWhateverFormItIsPassedOn) {
    EXPECT_EQ(kOurs.count_in(kUs), 1U);
    EXPECT_EQ(kOurs.count_in(kOurs.of(0)), 1U);
    EXPECT_EQ(kOurs.count_in("1.1 cache, " + kUs + ",," + kUs + " (again) ,1.0 a"), 2U);
    EXPECT_EQ(kOurs.count_in("HTTP/1.1 \t " + kUs.substr(4)), 1U);
}

TEST(OwnVia, OthersAreNotOurs) {
    const std::string us = kUs.substr(4);
    for (const std::string& value :
         {std::string(), std::string(","), us, "1.1 " + us + "0", "1.1 x" + us, "1.1 " + us + ":80",
          "1.1 cache (" + us + ")", std::string(OwnVia("another").of(1)), us + " 1.1"})
        EXPECT_EQ(kOurs.count_in(value), 0U) << value;
}

std::uint32_t passes_of(const std::string& fields) {
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
    http::RequestHead head;
    EXPECT_EQ(http::parse_request_head(text, head).state, http::HeadState::Done) << text;
    return wish_of(head, From::Outside, kOurs).passes;
}

TEST(Wish, CountsPassesOverAllFieldsOfTheHead) {
    const std::string field = "Via: " + kUs + "\r\n";
    EXPECT_EQ(passes_of(""), 0U);
    EXPECT_EQ(passes_of("Via: 1.1 cache\r\nX-Via: " + kUs + "\r\n"), 0U);
    EXPECT_EQ(passes_of(field + "X-A: b\r\nvia: 1.1 cache, " + kUs + "\r\n" + field), 3U);
}

}  // namespace
}  // namespace thole::edge
