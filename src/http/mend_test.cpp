// What is bent is bent in one way only, and what frames a message or says who asks is never bent.
#include "http/mend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "http/emit.h"

// Its names are head_test.cpp's, too, and both may be compiled as one.
namespace thole::http::mending {
namespace {

using namespace std::string_literals;

std::string asks(const std::string& fields, const std::string& line = "GET / HTTP/1.1") {
    return line + "\r\nHost: a\r\n" + fields + "\r\n";
}
std::string brings(const std::string& fields) { return asks(fields, "POST / HTTP/1.1"); }

struct Mended {
    HeadResult result;
    RuleSet broken;
    std::string written;  // As it leaves.
    bool keep_alive = false;
};

Mended mend(const std::string& bytes) {
    static RequestHead head;
    static std::array<char, kHeadBytesMax> room;
    static std::array<char, kHeadBytesMax> out;
    Mended mended;
    mended.result = mend_request_head(bytes, room, head, mended.broken);
    if (mended.result.state != HeadState::Done) return mended;
    mended.keep_alive = head.keep_alive;
    if (const auto size = emit_request_head(head, {.host = "a"}, out))
        mended.written = std::string(out.data(), *size);
    return mended;
}

struct MendCase {
    std::vector<Rule> broken;
    std::string bytes;
    std::string written;
};

const std::vector<MendCase> kMended = {
    {{Rule::NameSpace}, asks("X-A : b\r\n"), asks("X-A: b\r\n")},
    {{Rule::NameSpace}, asks("X-A \t: b\r\n"), asks("X-A: b\r\n")},
    {{Rule::Control}, asks("X-A: b\x01"s + "c\x7f\r\n"), asks("X-A: b c\r\n")},
    {{Rule::Control}, asks("X-A\x01: b\r\nX-B: c\r\n"), asks("X-B: c\r\n")},
    {{Rule::Control}, asks("\x01X-A: b\r\n"), asks("")},
    {{Rule::Control}, asks("X-A: \x01\r\n"), asks("X-A: \r\n")},
    {{Rule::NameTwin}, asks("X_Forwarded_For: 1.1.1.1\r\nX-Request_Id: 1\r\n"), asks("")},
    {{Rule::VersionNumber}, asks("", "GET / HTTP/1.2"), asks("")},
    {{Rule::Version}, asks("", "GET / HTTP/0.9"), asks("")},
    {{Rule::Version}, asks("", "GET /"), asks("")},
    {{Rule::LineSpace}, asks("", "GET / HTTP/1.1  "), asks("")},
    {{Rule::LineSpace}, asks("", "GET  HTTP/1.1"), asks("")},
    {{Rule::LineSpace}, asks("", "GET /a?b c d HTTP/1.1"), asks("", "GET /a?b%20c%20d HTTP/1.1")},
    {{Rule::TargetByte}, asks("", "GET /a?b#c?d HTTP/1.1"), asks("", "GET /a?b HTTP/1.1")},
    {{Rule::TargetByte}, asks("", "GET /\xc3\xa9 HTTP/1.1"), asks("", "GET /%C3%A9 HTTP/1.1")},
    {{Rule::LengthTwice},
     brings("Content-Length: 5\r\ncontent-length:  5 \r\n"),
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"},
    {{Rule::CodingUnknown},
     brings("Transfer-Encoding: gzip , identity,Chunked\r\nX: y\r\n"),
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: y\r\n"
     "Content-Encoding: gzip\r\n\r\n"},
    {{Rule::CodingUnknown},
     brings("Transfer-Encoding: chunked;a=b;\r\n"),
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {{Rule::CodingTwice},
     brings("Content-Encoding: br\r\nTransfer-Encoding: gzip ;\r\nTransfer-Encoding: deflate\r\n"
            "Transfer-Encoding: chunked\r\n"),
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Encoding: br\r\n"
     "Content-Encoding: gzip, deflate\r\n\r\n"},
    {{Rule::NameSpace, Rule::Control, Rule::VersionNumber},
     asks("X-A : b\r\nX-B: \x02\r\n", "GET / HTTP/1.9"),
     asks("X-A: b\r\nX-B: \r\n")},
};

TEST(Mend, BendsWhatNobodyReadsInTwoWays) {
    for (const MendCase& each : kMended) {
        SCOPED_TRACE(each.bytes);
        const Mended mended = mend(each.bytes);
        ASSERT_EQ(mended.result.state, HeadState::Done) << text_of(mended.result.rule).id;
        EXPECT_EQ(mended.result.bytes, each.bytes.size());
        std::vector<Rule> wanted = each.broken, broken;
        mended.broken.for_each([&](Rule rule) { broken.push_back(rule); });
        std::sort(wanted.begin(), wanted.end());
        EXPECT_EQ(broken, wanted);
        EXPECT_EQ(mended.written, each.written);
    }
}

// A request of HTTP/0.9 has no framing: whatever follows is nobody's.
TEST(Mend, TheOldestClientsConnectionEnds) {
    EXPECT_TRUE(mend(asks("", "GET / HTTP/1.2")).keep_alive);
    EXPECT_FALSE(mend(asks("Connection: keep-alive\r\n", "GET /")).keep_alive);
    EXPECT_FALSE(mend(asks("Connection: keep-alive\r\n", "GET / HTTP/0.9")).keep_alive);
}

struct Refusal {
    Rule rule;
    std::string bytes;
};

const std::vector<Refusal> kRefused = {
    // What frames, routes or says who asks is not guessed.
    {Rule::NameSpace, brings("Content-Length : 5\r\n")},
    {Rule::NameSpace, brings("Transfer-Encoding\t: chunked\r\n")},
    {Rule::NameSpace, asks("Content_Length : 5\r\n")},
    {Rule::NameSpace, asks("Authorization : a\r\n")},
    {Rule::NameSpace, asks("X-Forwarded-For : a\r\n")},
    {Rule::NameSpace, asks("Connection : close\r\n")},
    {Rule::Control, brings("\x01Transfer-Encoding: chunked\r\n")},
    {Rule::Control, brings("Content-Length\x01: 5\r\n")},
    {Rule::Control, brings("Content-\x01Length: 5\r\n")},
    {Rule::Control, brings("Transfer-Encoding: \x01"
                           "chunked\r\n")},
    {Rule::Control, brings("Content-Length: 5\x01\r\n")},
    {Rule::Control, asks("X: a\0b\r\n"s)},
    {Rule::Control, asks("", "GET /\x01 HTTP/1.1")},
    {Rule::Control, "\x16\x03\x01\x02"},
    {Rule::Control, asks("\x01: b\r\n")},
    {Rule::NameTwin, asks("Content_Length: 5\r\n")},
    {Rule::NameTwin, asks("Transfer--Encoding: chunked\r\n")},
    // Lines.
    {Rule::BareLf, "GET / HTTP/1.1\nHost: a\r\n\r\n"},
    {Rule::BareLf, asks("X: a\nContent-Length: 5\r\n")},
    {Rule::BareCr, asks("X: a\rb\r\n")},
    {Rule::Fold, asks("X: a\r\n b\r\n")},
    {Rule::Fold, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
    {Rule::LineStart, "\r\n\r\n" + asks("")},
    {Rule::LineStart, " " + asks("")},
    {Rule::NoColon, asks("no colon\r\n")},
    {Rule::NameEmpty, asks(": a\r\n")},
    {Rule::NameToken, asks("X Y: a\r\n")},
    {Rule::NameToken, asks("X\xe9: a\r\n")},
    {Rule::NameToken, asks("\xa0"
                           "Content-Length: 5\r\n")},
    // The request line.
    {Rule::LineSpace, asks("", "GET /a b HTTP/1.1")},
    {Rule::LineSpace, asks("", "GET /a HTTP/1.1 HTTP/1.1")},
    {Rule::LineSpace, asks("", "GET /a?b HTTP/1.1 HTTP/1.1")},
    {Rule::LineSpace, asks("", "GET /a?b  c HTTP/1.1")},
    {Rule::LineSpace, asks("", "GET  / HTTP/1.1")},
    {Rule::LineSpace, asks("", "GET /  HTTP/1.1")},
    {Rule::LineSpace, asks("", "GET")},
    {Rule::TargetByte, asks("", "GET http://b#@c/ HTTP/1.1")},
    {Rule::HostValue, asks("", "GET http://\xc3\xa9/ HTTP/1.1")},
    {Rule::TargetByte, asks("", "GET a#b HTTP/1.1")},
    {Rule::TargetNul, asks("", "GET /%00#b HTTP/1.1")},
    {Rule::Version, asks("", "GET / HTTP/1.10")},
    {Rule::VersionNumber, asks("", "GET / HTTP/2.0")},
    {Rule::Version, asks("", "POST /")},
    {Rule::Version, asks("Content-Length: 5\r\n", "GET /")},
    {Rule::CodingInOld, asks("Transfer-Encoding: chunked\r\n", "GET / HTTP/0.9")},
    {Rule::TargetLong, asks("", "GET /" + std::string(3000, '\xe9') + " HTTP/1.1")},
    // Framing.
    {Rule::LengthTwice, brings("Content-Length: 5\r\nContent-Length: 6\r\n")},
    {Rule::LengthTwice, brings("Content-Length: 5\r\nContent-Length: 05\r\n")},
    {Rule::LengthValue, brings("Content-Length: 5, 5\r\n")},
    {Rule::CodingAndLength, brings("Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n")},
    {Rule::CodingUnknown, brings("Transfer-Encoding: gzip\r\n")},
    {Rule::CodingUnknown, brings("Transfer-Encoding: identity\r\n")},
    {Rule::CodingUnknown, brings("Transfer-Encoding: xchunked\r\n")},
    {Rule::CodingUnknown, brings("Transfer-Encoding: chunked, chunked\r\n")},
    {Rule::CodingUnknown, brings("Transfer-Encoding: chunked, gzip\r\n")},
    {Rule::CodingUnknown, brings("Transfer-Encoding: chunked;a=\"b\"\r\n")},
    {Rule::CodingValue, brings("Transfer-Encoding: ,chunked\r\n")},
    {Rule::CodingTwice, brings("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")},
    {Rule::CodingTwice, brings("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n")},
    {Rule::CodingInOld, asks("Transfer-Encoding: gzip, chunked\r\n", "POST / HTTP/1.0")},
    {Rule::HostTwice, asks("Host: a\r\n")},
    {Rule::HostMissing, "GET / HTTP/1.1\r\nX-A : b\r\n\r\n"},
};

TEST(Mend, RefusesWhatTwoReadersMayReadDifferently) {
    for (const Refusal& each : kRefused) {
        SCOPED_TRACE(each.bytes);
        const Mended mended = mend(each.bytes);
        EXPECT_EQ(mended.result.state, HeadState::Bad) << mended.written;
        EXPECT_EQ(text_of(mended.result.rule).id, text_of(each.rule).id);
    }
}

// What is right is read as the strict parser reads it, however it comes in.
TEST(Mend, LeavesWhatIsRightAsItIs) {
    const std::string right = "\r\n" + asks("Cookie: a=b; c\r\nX: \xe9\r\n", "GET /a?b HTTP/1.1");
    const Mended mended = mend(right);
    EXPECT_EQ(mended.result.state, HeadState::Done);
    EXPECT_TRUE(mended.broken.is_empty());
    EXPECT_EQ(mended.written, right.substr(2));
    for (const std::string& whole : {right, asks("X-A : b\r\nX-B: \x01\r\n")}) {
        for (std::size_t size = 0; size < whole.size(); ++size)
            EXPECT_EQ(mend(whole.substr(0, size)).result.state, HeadState::NeedMore) << size;
        EXPECT_EQ(mend(whole + "x\0\n"s).result.bytes, whole.size());
    }
}

}  // namespace
}  // namespace thole::http::mending
