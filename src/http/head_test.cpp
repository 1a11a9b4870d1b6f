#include "http/head.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace thole::http {
namespace {

using namespace std::string_literals;

struct Case {
    Rule rule;
    std::string refused;   // Breaks only this rule.
    std::string accepted;  // Its nearest neighbour that is right.
};

std::string get(const std::string& fields) {
    return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}
std::string line(const std::string& first) { return first + "\r\nHost: a\r\n\r\n"; }
std::string many(int count) {
    std::string fields;
    for (int i = 0; i < count; ++i) fields += "x: y\r\n";
    return fields;
}
std::string listed(int count) {
    std::string value = "Connection: x";
    for (int i = 1; i < count; ++i) value += ", x";
    return value + "\r\n";
}
std::string sized(std::size_t bytes) {
    const std::string rest = get("x: \r\n");
    return get("x: " + std::string(bytes - rest.size(), 'y') + "\r\n");
}

const std::vector<Case> kRequestCases = {
    {Rule::BareLf, "GET / HTTP/1.1\nHost: a\r\n\r\n", get("")},
    {Rule::BareLf, "GET / HTTP/1.1\r\nHost: a\r\n\n", get("")},
    {Rule::BareLf, get("x: a\nContent-Length: 5\r\n"), get("x: a\r\n")},
    {Rule::BareCr, get("x: a\rb\r\n"), get("x: a\tb\r\n")},
    {Rule::BareCr, "GET / HTTP/1.1\rHost: a\r\n\r\n", get("")},
    {Rule::Control, get("x: a\0b\r\n"s), get("x: ab\r\n")},
    {Rule::Control, get("x: a\x0b\r\n"), get("x: a\t\r\n")},
    {Rule::Control, get("x: a\x7f\r\n"), get("x: a\x80\r\n")},
    {Rule::Control, "\x16\x03\x01\x02", get("")},
    {Rule::HeadLong, sized(kHeadBytesMax + 1), sized(kHeadBytesMax)},
    {Rule::FieldsMany, get(many(100)), get(many(99))},
    {Rule::LineStart, " GET / HTTP/1.1\r\nHost: a\r\n\r\n", get("")},
    {Rule::LineStart, "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n" + get("")},
    {Rule::Method, line("G@T / HTTP/1.1"), line("G.T / HTTP/1.1")},
    {Rule::Method, line("GET\t/ HTTP/1.1"), get("")},
    {Rule::Method, line(std::string(33, 'A') + " / HTTP/1.1"),
     line(std::string(32, 'A') + " / HTTP/1.1")},
    {Rule::MethodTrace, line("TRACE / HTTP/1.1"), line("TRACK / HTTP/1.1")},
    {Rule::MethodConnect, line("CONNECT a:1 HTTP/1.1"), line("connect /a:1 HTTP/1.1")},
    {Rule::LineSpace, line("GET  / HTTP/1.1"), get("")},
    {Rule::LineSpace, line("GET /  HTTP/1.1"), get("")},
    {Rule::LineSpace, line("GET / HTTP/1.1 "), get("")},
    {Rule::LineSpace, line("GET /a b HTTP/1.1"), line("GET /a%20b HTTP/1.1")},
    {Rule::LineSpace, line("GET"), get("")},
    {Rule::TargetLong, line("GET /" + std::string(8192, 'a') + " HTTP/1.1"),
     line("GET /" + std::string(8191, 'a') + " HTTP/1.1")},
    {Rule::TargetLong, line("GET /" + std::string(40000, 'a') + " HTTP/1.1"), get("")},
    {Rule::TargetByte, line("GET /a#b HTTP/1.1"), line("GET /a%23b HTTP/1.1")},
    {Rule::TargetByte, line("GET /\xc3\xa9 HTTP/1.1"), line("GET /%C3%A9 HTTP/1.1")},
    {Rule::TargetByte, line("GET /a\tb HTTP/1.1"), line("GET /a|b HTTP/1.1")},
    {Rule::TargetForm, line("GET a HTTP/1.1"), line("GET /a HTTP/1.1")},
    {Rule::TargetForm, line("GET * HTTP/1.1"), line("OPTIONS * HTTP/1.1")},
    {Rule::TargetForm, line("GET ftp://a/ HTTP/1.1"), line("GET http://a/ HTTP/1.1")},
    {Rule::TargetForm, line("GET a:80 HTTP/1.1"), line("GET HTTPS://a:80 HTTP/1.1")},
    {Rule::TargetNul, line("GET /a%00b HTTP/1.1"), line("GET /a?%00 HTTP/1.1")},
    {Rule::Version, "GET /\r\n\r\n", get("")},
    {Rule::Version, line("GET / HTTP/0.9"), get("")},
    {Rule::Version, line("GET / HTTP/1.10"), get("")},
    {Rule::Version, line("GET / http/1.1"), get("")},
    {Rule::Version, line("GET / XTTP/1.1"), get("")},
    {Rule::VersionNumber, line("GET / HTTP/2.0"), line("GET / HTTP/1.0")},
    {Rule::VersionNumber, line("GET / HTTP/1.2"), get("")},
    {Rule::Fold, get("x: a\r\n b\r\n"), get("x: a\r\nb: c\r\n")},
    {Rule::Fold, get("x: a\r\n\tb: c\r\n"), get("x: a\tb: c\r\n")},
    {Rule::Fold, "GET / HTTP/1.1\r\n Host: a\r\n\r\n", get("")},
    {Rule::NoColon, get("xyz\r\n"), get("xyz:\r\n")},
    {Rule::NoColon, get("x y\r\n"), get("x: y\r\n")},
    {Rule::NameEmpty, get(": a\r\n"), get("x: a\r\n")},
    {Rule::NameSpace, get("x : a\r\n"), get("x: a\r\n")},
    {Rule::NameSpace, get("Transfer-Encoding\t: chunked\r\n"),
     get("Transfer-Encoding:\tchunked\r\n")},
    {Rule::NameToken, get("x@y: a\r\n"), get("x!#$%&'*+-.^_`|~y: a\r\n")},
    {Rule::NameToken, get("Transfer- Encoding: chunked\r\n"), get("x: a\r\n")},
    {Rule::NameToken, get("x\xe9: a\r\n"), get("x: \xe9\r\n")},
    {Rule::NameTwin, get("Content_Length: 5\r\n"), get("Content_Type: 5\r\n")},
    {Rule::NameTwin, get("Transfer_Encoding: chunked\r\n"), get("My_Field: a\r\n")},
    {Rule::NameTwin, get("transfer---encoding: chunked\r\n"), get("my---field: a\r\n")},
    {Rule::NameTwin, get("X_Forwarded_For: 1\r\n"), get("X-Forwarded-For: 1\r\n")},
    {Rule::NameTwin, get("X-Forwarded_Proto: 1\r\n"), get("X-Forwarded-Proto: 1\r\n")},
    {Rule::HostMissing, "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"},
    {Rule::HostMissing, "GET http://a/ HTTP/1.1\r\n\r\n", "GET http://a/ HTTP/1.0\r\n\r\n"},
    {Rule::HostTwice, get("host: a\r\n"), get("x-host: a\r\n")},
    {Rule::HostValue, "GET / HTTP/1.1\r\nHost:\r\n\r\n", get("")},
    {Rule::HostValue, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
     "GET / HTTP/1.1\r\nHost: a_b-c.d:80\r\n\r\n"},
    {Rule::HostValue, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n"},
    {Rule::HostValue, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", get("")},
    {Rule::HostValue, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", get("")},
    {Rule::HostValue, "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n",
     "GET / HTTP/1.1\r\nHost: a:65535\r\n\r\n"},
    {Rule::HostValue, "GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", get("")},
    {Rule::HostValue, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
     "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"},
    {Rule::HostValue, line("GET http://u@b/ HTTP/1.1"), line("GET http://b/@ HTTP/1.1")},
    {Rule::HostValue, line("GET http:/// HTTP/1.1"), line("GET //b/ HTTP/1.1")},
    {Rule::LengthTwice, get("Content-Length: 5\r\ncontent-length: 5\r\n"),
     get("Content-Length: 5\r\n")},
    {Rule::LengthValue, get("Content-Length: 5, 5\r\n"), get("Content-Length: \t5 \r\n")},
    {Rule::LengthValue, get("Content-Length:\r\n"), get("Content-Length: 0\r\n")},
    {Rule::LengthValue, get("Content-Length: +5\r\n"), get("Content-Length: 05\r\n")},
    {Rule::LengthValue, get("Content-Length: -5\r\n"), get("Content-Length: 5\r\n")},
    {Rule::LengthValue, get("Content-Length: 0x5\r\n"), get("Content-Length: 05\r\n")},
    {Rule::LengthValue, get("Content-Length: 1_0\r\n"), get("Content-Length: 10\r\n")},
    {Rule::LengthValue, get("Content-Length: 5 5\r\n"), get("Content-Length: 55\r\n")},
    {Rule::LengthRange, get("Content-Length: 9223372036854775808\r\n"),
     get("Content-Length: 9223372036854775807\r\n")},
    {Rule::LengthRange, get("Content-Length: 00000000000000000005\r\n"),
     get("Content-Length: 0000000000000000005\r\n")},
    {Rule::CodingTwice, get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
     get("Transfer-Encoding: Chunked\r\n")},
    {Rule::CodingValue, get("Transfer-Encoding: ,chunked\r\n"),
     get("Transfer-Encoding:chunked\r\n")},
    {Rule::CodingValue, get("Transfer-Encoding: chunked\xa0\r\n"),
     get("Transfer-Encoding: chunked \t\r\n")},
    {Rule::CodingValue, get("Transfer-Encoding:\r\n"), get("TE: trailers\r\n")},
    {Rule::CodingUnknown, get("Transfer-Encoding: xchunked\r\n"),
     get("Transfer-Encoding: CHUNKED\r\n")},
    {Rule::CodingUnknown, get("Transfer-Encoding: gzip, chunked\r\n"), get("")},
    {Rule::CodingUnknown, get("Transfer-Encoding: identity\r\n"), get("")},
    {Rule::CodingAndLength, get("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
     get("Transfer-Encoding: chunked\r\n")},
    {Rule::CodingInOld, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
     "GET / HTTP/1.0\r\nContent-Length: 1\r\n\r\n"},
    {Rule::ConnectionValue, get("Connection: a b\r\n"), get("Connection: a,, b ,\r\n")},
    {Rule::ConnectionMany, get(listed(17)), get(listed(16))},
    {Rule::UpgradeTwice, get("Upgrade: a\r\nUpgrade: a\r\n"), get("Upgrade: a\r\n")},
    {Rule::ExpectUnknown, get("Expect: 200-ok\r\n"), get("Expect: 100-Continue\r\n")},
};

TEST(RequestHead, RefusesWhatBreaksARuleAndTakesItsNeighbour) {
    RequestHead head;
    for (const Case& tried : kRequestCases) {
        const std::string_view id = text_of(tried.rule).id;
        const HeadResult bad = parse_request_head(tried.refused, head);
        EXPECT_EQ(bad.state, HeadState::Bad) << id << "\n" << tried.refused.substr(0, 300);
        EXPECT_EQ(text_of(bad.rule).id, id) << tried.refused.substr(0, 300);
        EXPECT_EQ(bad.status, text_of(tried.rule).status) << id;
        const HeadResult good = parse_request_head(tried.accepted, head);
        EXPECT_EQ(good.state, HeadState::Done) << text_of(good.rule).id << "\n"
                                               << tried.accepted.substr(0, 300);
        EXPECT_EQ(good.bytes, tried.accepted.size()) << id;
    }
}

std::string answer(const std::string& fields) { return "HTTP/1.1 200 OK\r\n" + fields + "\r\n"; }

const std::string kUpgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const std::vector<Case> kResponseCases = {
    {Rule::BareLf, "HTTP/1.1 200 OK\nx: a\r\n\r\n", answer("x: a\r\n")},
    {Rule::BareCr, answer("x: a\rb\r\n"), answer("x: ab\r\n")},
    {Rule::Control, answer("x: a\0b\r\n"s), answer("x: ab\r\n")},
    {Rule::HeadLong, answer("x: " + std::string(33000, 'y') + "\r\n"), answer("")},
    {Rule::FieldsMany, answer(many(101)), answer(many(100))},
    {Rule::StatusLine, "\r\n" + answer(""), answer("")},
    {Rule::StatusLine, "HTTP/1.1 20\r\n\r\n", answer("")},
    {Rule::StatusLine, "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 200 0 OK\r\n\r\n"},
    {Rule::StatusLine, "HTTP/1.1\t200 OK\r\n\r\n", "HTTP/1.1 200\r\n\r\n"},
    {Rule::StatusCode, "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1 201 \r\n\r\n"},
    {Rule::StatusCode, "HTTP/1.1 600 OK\r\n\r\n", "HTTP/1.1 599 OK\r\n\r\n"},
    {Rule::StatusCode, "HTTP/1.1 2xx OK\r\n\r\n", answer("")},
    {Rule::Version, "HTTQ/1.1 200 OK\r\n\r\n", answer("")},
    {Rule::VersionNumber, "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"},
    {Rule::Fold, answer("Transfer-Encoding:\r\n chunked\r\n"), answer("x:\r\n chunked\r\n")},
    {Rule::Fold, answer("Content-Length: 1\r\n 2\r\n"), answer("x: 1\r\n\t2\r\n")},
    {Rule::Fold, answer(" x: a\r\n"), answer("x: a\r\n")},
    {Rule::NoColon, answer("xyz\r\n"), answer("xyz:\r\n")},
    {Rule::NameEmpty, answer(": a\r\n"), answer("x: a\r\n")},
    {Rule::NameSpace, answer("Content-Length : 1\r\n"), answer("Content-Length: 1\r\n")},
    {Rule::NameToken, answer("x(y: a\r\n"), answer("x: a(\r\n")},
    {Rule::NameTwin, answer("Content_Length: 1\r\n"), answer("x_y: 1\r\n")},
    {Rule::LengthTwice, answer("Content-Length: 5\r\nContent-Length: 6\r\n"), answer("")},
    {Rule::LengthValue, answer("Content-Length: 5,5\r\n"), answer("Content-Length: 5\r\n")},
    {Rule::LengthRange, answer("Content-Length: 99999999999999999999\r\n"), answer("")},
    {Rule::CodingTwice, answer("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
     answer("Transfer-Encoding: chunked\r\n")},
    {Rule::CodingValue, answer("Transfer-Encoding: \"chunked\xff\"\r\n"), answer("")},
    {Rule::CodingUnknown, answer("Transfer-Encoding: chunked, gzip\r\n"), answer("")},
    {Rule::CodingAndLength, answer("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
     answer("")},
    {Rule::CodingInOld, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", answer("")},
    {Rule::ConnectionValue, answer("Connection: a;b\r\n"), answer("Connection: a\r\n")},
    {Rule::ConnectionMany, answer(listed(17)), answer(listed(16))},
    {Rule::UpgradeTwice, answer("Upgrade: a\r\nUpgrade: b\r\n"), answer("Upgrade: a, b\r\n")},
    {Rule::UpgradeUnasked, "HTTP/1.1 101 S\r\n\r\n", "HTTP/1.1 101 S\r\n" + kUpgrade},
    {Rule::UpgradeUnasked, "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
     "HTTP/1.1 101 S\r\n" + kUpgrade},
    {Rule::UpgradeUnasked, "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",
     "HTTP/1.1 101 S\r\n" + kUpgrade},
    {Rule::ResetBody, "HTTP/1.1 205 R\r\nContent-Length: 5\r\n\r\n",
     "HTTP/1.1 205 R\r\nContent-Length: 0\r\n\r\n"},
};

TEST(ResponseHead, RefusesWhatBreaksARuleAndTakesItsNeighbour) {
    ResponseHead head;
    const Asked asked{.method = "GET", .upgrade = "websocket"};
    for (const Case& tried : kResponseCases) {
        const std::string_view id = text_of(tried.rule).id;
        const HeadResult bad = parse_response_head(tried.refused, asked, head);
        EXPECT_EQ(bad.state, HeadState::Bad) << id << "\n" << tried.refused.substr(0, 300);
        EXPECT_EQ(text_of(bad.rule).id, id) << tried.refused.substr(0, 300);
        EXPECT_EQ(bad.status, 502) << id;
        const HeadResult good = parse_response_head(tried.accepted, asked, head);
        EXPECT_EQ(good.state, HeadState::Done) << text_of(good.rule).id << "\n"
                                               << tried.accepted.substr(0, 300);
        EXPECT_EQ(good.bytes, tried.accepted.size()) << id;
    }
}

// A rule nobody tries is a rule that may not work.
TEST(Rules, OfHeadsAreAllTriedAndIdsAreUnique) {
    std::set<Rule> tried = {Rule::None};
    for (const Case& one : kRequestCases) tried.insert(one.rule);
    for (const Case& one : kResponseCases) tried.insert(one.rule);
    std::set<std::string_view> ids;
    for (std::size_t i = 0; i < kRuleCount; ++i) {
        const auto rule = static_cast<Rule>(i);
        EXPECT_EQ(text_of(rule).id.substr(0, 3), "H1-");
        EXPECT_TRUE(ids.insert(text_of(rule).id).second) << text_of(rule).id;
        EXPECT_TRUE(rule >= Rule::ChunkSize || tried.contains(rule)) << text_of(rule).id;
    }
}

TEST(Rules, StandInTheTableUnderTheirOwnIds) {
    EXPECT_EQ(text_of(Rule::LengthTwice).id, "H1-CL-DUP");
    EXPECT_EQ(text_of(Rule::ResetBody).id, "H1-205-BODY");
    EXPECT_EQ(text_of(Rule::StatusLine).id, "H1-STATUS-LINE");
    EXPECT_EQ(text_of(Rule::BodyShort).id, "H1-BODY-SHORT");
}

}  // namespace
}  // namespace thole::http
