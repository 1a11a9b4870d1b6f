// By what users are told apart, in heads as they come.
#include "edge/sticky.h"

#include <gtest/gtest.h>

#include <string>

#include "base/check.h"

namespace thole::edge {
namespace {

std::string key_in(const wire::SnapshotSticky& sticky, const std::string& fields) {
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
    http::RequestHead head;
    CHECK(http::parse_request_head(text, head).state == http::HeadState::Done);
    return std::string(key_of(sticky_key_of(sticky), head));
}

TEST(Sticky, ACookieIsFoundAmongOthers) {
    const wire::SnapshotSticky sid{wire::StickyBy::Cookie, "sid"};
    EXPECT_EQ(key_in(sid, "Cookie: sid=u1\r\n"), "u1");
    EXPECT_EQ(key_in(sid, "Cookie: a=sid; xsid=2; sid=u1; sidx=3\r\n"), "u1");
    EXPECT_EQ(key_in(sid, "Cookie: a=1;sid = a=b ;c=d\r\n"), "a=b");
    EXPECT_EQ(key_in(sid, "Cookie: a=1\r\ncookie: sid=u2; sid=u3\r\n"), "u2");
    EXPECT_EQ(key_in(sid, "Cookie: sid=; b=1\r\nCookie: sid=u4\r\n"), "u4");
    for (const char* const none : {"", "Cookie: \r\n", "Cookie: sid\r\n", "Cookie: SID=u1\r\n",
                                   "Cookie: ;;=;\r\n", "Cookie: a=sid=u1\r\n", "sid: u1\r\n"})
        EXPECT_EQ(key_in(sid, none), "") << none;
}

TEST(Sticky, AHeaderIsTakenWhole) {
    const wire::SnapshotSticky user{wire::StickyBy::Header, "X-User"};
    EXPECT_EQ(key_in(user, "x-user: u1; a\r\n"), "u1; a");
    EXPECT_EQ(key_in(user, "X-User:\r\nX-User: u2\r\n"), "u2");
    EXPECT_EQ(key_in(user, "Cookie: X-User=u1\r\n"), "");
    EXPECT_EQ(key_in({}, "X-User: u1\r\nCookie: a=1\r\n"), "");
}

}  // namespace
}  // namespace thole::edge
