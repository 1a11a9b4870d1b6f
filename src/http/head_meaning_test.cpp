#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "http/head.h"

namespace thole::http {
namespace {

TEST(RequestHead, TellsWhatTheRequestSays) {
    const std::string text =
        "POST /a/b?c=d HTTP/1.1\r\nHost: shop.example:8080\r\nContent-Length: 12\r\n"
        "Connection: X-Secret, keep-alive\r\nX-Secret: 1\r\nExpect: 100-continue\r\n"
        "Cookie: a=b\r\nCookie:  c=d\t\r\n\r\nhello world!";
    RequestHead head;
    const HeadResult result = parse_request_head(text, head);
    ASSERT_EQ(result.state, HeadState::Done);
    EXPECT_EQ(result.bytes, text.size() - 12);
    EXPECT_EQ(head.method, "POST");
    EXPECT_EQ(head.target, "/a/b?c=d");
    EXPECT_EQ(head.path, "/a/b?c=d");
    EXPECT_EQ(head.host, "shop.example:8080");
    EXPECT_EQ(head.framing, Framing::Length);
    EXPECT_EQ(head.length, 12U);
    EXPECT_TRUE(head.keep_alive);
    EXPECT_TRUE(head.expect_continue);
    ASSERT_EQ(head.listed_count, 1U);
    EXPECT_EQ(head.listed[0], "X-Secret");
    ASSERT_EQ(head.field_count, 7U);
    EXPECT_EQ(head.fields[6].value, "c=d");
    EXPECT_EQ(head.find("cookie")->value, "a=b");
    EXPECT_EQ(head.find(Known::Host)->value, "shop.example:8080");
    EXPECT_EQ(head.find("nothing"), nullptr);
}

// A worker reuses one head: nothing of the last request may show through.
TEST(RequestHead, KeepsNothingOfTheHeadBefore) {
    RequestHead head;
    const std::string first =
        "GET http://a/ HTTP/1.1\r\nHost: b\r\nUpgrade: x\r\nConnection: upgrade, y, close\r\n"
        "Expect: 100-continue\r\n\r\n";
    ASSERT_EQ(parse_request_head(first, head).state, HeadState::Done);
    EXPECT_EQ(head.upgrade, "x");
    EXPECT_FALSE(head.keep_alive);
    ASSERT_EQ(parse_request_head("GET /c HTTP/1.1\r\nHost: d\r\n\r\n", head).state,
              HeadState::Done);
    EXPECT_EQ(head.host, "d");
    EXPECT_EQ(head.upgrade, "");
    EXPECT_EQ(head.listed_count, 0U);
    EXPECT_EQ(head.field_count, 1U);
    EXPECT_TRUE(head.keep_alive);
    EXPECT_FALSE(head.expect_continue);
    EXPECT_EQ(head.framing, Framing::None);
}

struct Form {
    std::string line, host, path;
};

TEST(RequestHead, TakesTheHostFromAnAbsoluteTarget) {
    const std::vector<Form> forms = {
        {"GET http://a.example:81/x?y HTTP/1.1", "a.example:81", "/x?y"},
        {"GET HTTPS://[::1]:81?y HTTP/1.1", "[::1]:81", "?y"},
        {"GET http://a.example HTTP/1.1", "a.example", ""},
        {"OPTIONS http://a.example HTTP/1.1", "a.example", "*"},
        {"OPTIONS * HTTP/1.1", "h", "*"},
        {"GET //a.example/x HTTP/1.1", "h", "//a.example/x"},
    };
    for (const Form& form : forms) {
        RequestHead head;
        const std::string text = form.line + "\r\nHost: h\r\n\r\n";
        ASSERT_EQ(parse_request_head(text, head).state, HeadState::Done) << form.line;
        EXPECT_EQ(head.host, form.host) << form.line;
        EXPECT_EQ(head.path, form.path) << form.line;
    }
}

struct Lasting {
    std::string version, connection;
    bool keep_alive;
};

TEST(RequestHead, KnowsWhetherTheConnectionStays) {
    const std::vector<Lasting> cases = {
        {"1.1", "", true},
        {"1.1", "Connection: close\r\n", false},
        {"1.1", "Connection: x, CLOSE\r\n", false},
        {"1.1", "Connection: keep-alive\r\nConnection: close\r\n", false},
        {"1.0", "", false},
        {"1.0", "Connection: Keep-Alive\r\n", true},
        {"1.0", "Connection: keep-alive, close\r\n", false},
    };
    for (const Lasting& tried : cases) {
        RequestHead head;
        const std::string text =
            "GET / HTTP/" + tried.version + "\r\nHost: a\r\n" + tried.connection + "\r\n";
        ASSERT_EQ(parse_request_head(text, head).state, HeadState::Done) << text;
        EXPECT_EQ(head.keep_alive, tried.keep_alive) << text;
    }
}

struct Upgrading {
    std::string line, fields, upgrade;
};

TEST(RequestHead, HonoursAnUpgradeOnlyWhereItMay) {
    const std::string both = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    const std::vector<Upgrading> cases = {
        {"GET / HTTP/1.1", both, "websocket"},
        {"GET / HTTP/1.1", both + "Content-Length: 0\r\n", "websocket"},
        {"GET / HTTP/1.1", both + "Content-Length: 1\r\n", ""},
        {"GET / HTTP/1.1", both + "Transfer-Encoding: chunked\r\n", ""},
        {"GET / HTTP/1.1", "Upgrade: websocket\r\n", ""},
        {"GET / HTTP/1.1", "Connection: upgrade\r\n", ""},
        {"POST / HTTP/1.1", both, ""},
        {"GET / HTTP/1.0", both, ""},
    };
    for (const Upgrading& tried : cases) {
        RequestHead head;
        const std::string text = tried.line + "\r\nHost: a\r\n" + tried.fields + "\r\n";
        ASSERT_EQ(parse_request_head(text, head).state, HeadState::Done) << text;
        EXPECT_EQ(head.upgrade, tried.upgrade) << text;
    }
}

TEST(RequestHead, IgnoresExpectationsOfOldClients) {
    RequestHead head;
    ASSERT_EQ(parse_request_head("PUT / HTTP/1.0\r\nExpect: x\r\n\r\n", head).state,
              HeadState::Done);
    EXPECT_FALSE(head.expect_continue);
}

struct Framed {
    std::string method, line, fields;
    Framing framing;
    bool keep_alive;
};

TEST(ResponseHead, IsFramedByWhatWasAsked) {
    const std::string length = "Content-Length: 5\r\n", chunked = "Transfer-Encoding: chunked\r\n";
    const std::vector<Framed> cases = {
        {"GET", "HTTP/1.1 200 OK", length, Framing::Length, true},
        {"GET", "HTTP/1.1 200 OK", chunked, Framing::Chunked, true},
        {"GET", "HTTP/1.1 200 OK", "", Framing::UntilClose, false},
        {"GET", "HTTP/1.0 200 OK", "Connection: keep-alive\r\n", Framing::UntilClose, false},
        {"GET", "HTTP/1.0 200 OK", length, Framing::Length, false},
        {"GET", "HTTP/1.0 200 OK", length + "Connection: keep-alive\r\n", Framing::Length, true},
        {"GET", "HTTP/1.1 200 OK", length + "Connection: close\r\n", Framing::Length, false},
        {"HEAD", "HTTP/1.1 200 OK", length, Framing::None, true},
        {"HEAD", "HTTP/1.1 200 OK", chunked, Framing::None, true},
        {"HEAD", "HTTP/1.1 200 OK", "", Framing::None, true},
        {"GET", "HTTP/1.1 204 No", length, Framing::None, true},
        {"GET", "HTTP/1.1 304 No", length, Framing::None, true},
        {"GET", "HTTP/1.1 100 Go", "", Framing::None, true},
        {"GET", "HTTP/1.1 103 Go", length, Framing::None, true},
        {"GET", "HTTP/1.1 205 Re", "", Framing::Length, false},
        {"GET", "HTTP/1.1 205 Re", "Content-Length: 0\r\n", Framing::Length, true},
        {"HEAD", "HTTP/1.1 205 Re", "", Framing::None, true},
        {"GET", "HTTP/1.1 205 Re", chunked, Framing::Length, false},
    };
    for (const Framed& tried : cases) {
        ResponseHead head;
        const std::string text = tried.line + "\r\n" + tried.fields + "\r\n";
        const Asked asked{.method = tried.method, .upgrade = {}};
        ASSERT_EQ(parse_response_head(text, asked, head).state, HeadState::Done) << text;
        EXPECT_EQ(head.framing, tried.framing) << tried.method << " " << text;
        EXPECT_EQ(head.keep_alive, tried.keep_alive) << tried.method << " " << text;
    }
}

// A server may leave out what it does not choose; what it was not offered it may not.
TEST(ResponseHead, SwitchesToAnyOfTheProtocolsThatWereAskedFor) {
    struct Switch {
        std::string asked, chosen;
        HeadState state;
    };
    const std::vector<Switch> cases = {
        {"websocket, foo", "websocket", HeadState::Done},
        {"websocket,foo", "FOO", HeadState::Done},
        {"a/1, b, c", "c, a/1", HeadState::Done},
        {"websocket, foo", "websocket, foo", HeadState::Done},
        {"websocket, foo", "websocket, h2c", HeadState::Bad},
        {"websocket, foo", "h2c, foo", HeadState::Bad},
        {"websocket, foo", "web", HeadState::Bad},
        {"websocket, foo", "a/1", HeadState::Bad},
        {"websocket", ",", HeadState::Bad},
        {"websocket", "", HeadState::Bad},
        {"", "websocket", HeadState::Bad},
        {"", "", HeadState::Bad},
    };
    for (const Switch& tried : cases) {
        ResponseHead head;
        const std::string text =
            "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: " + tried.chosen + "\r\n\r\n";
        const HeadResult result =
            parse_response_head(text, {.method = "GET", .upgrade = tried.asked}, head);
        EXPECT_EQ(result.state, tried.state) << tried.asked << " | " << tried.chosen;
        if (tried.state == HeadState::Done) {
            EXPECT_EQ(head.upgrade, tried.chosen);
        } else {
            EXPECT_EQ(result.rule, Rule::UpgradeUnasked);
        }
    }
}

TEST(WithoutH2c, LeavesWhatElseIsOffered) {
    std::array<char, 12> room{};
    EXPECT_EQ(without_h2c("", room), "");
    EXPECT_EQ(without_h2c("websocket,  foo,bar", room), "websocket,  foo,bar");
    EXPECT_EQ(without_h2c("h2c", room), "");
    EXPECT_EQ(without_h2c("H2C,, h2c", room), "");
    EXPECT_EQ(without_h2c("a,h2C ,b/1", room), "a, b/1");
    EXPECT_EQ(without_h2c("h2c, 0123456789ab", room), "0123456789ab");
    EXPECT_EQ(without_h2c("h2c, 0123456789abc", room), "") << "does not fit";
    EXPECT_EQ(without_h2c("0123456789,h2c,a", room), "") << "does not fit";
}

TEST(ResponseHead, SaysTheLengthOfABodyThatHeadDoesNotGet) {
    ResponseHead head;
    const std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
    ASSERT_EQ(parse_response_head(text, {.method = "HEAD", .upgrade = {}}, head).state,
              HeadState::Done);
    EXPECT_TRUE(head.says_length);
    EXPECT_EQ(head.length, 7U);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.reason, "OK");
}

TEST(ResponseHead, KeepsAFoldedValueAndMarksIt) {
    ResponseHead head;
    const std::string text = "HTTP/1.1 200 OK\r\nx: \r\n a\r\n\tb \r\n \r\ny: c\r\n\r\n";
    const Asked asked{.method = "GET", .upgrade = {}};
    ASSERT_EQ(parse_response_head(text, asked, head).state, HeadState::Done);
    ASSERT_EQ(head.field_count, 2U);
    EXPECT_TRUE(head.fields[0].is_folded);
    EXPECT_EQ(head.fields[0].value, "a\r\n\tb");
    EXPECT_EQ(head.fields[1].value, "c");
}

TEST(FindHeadEnd, GoesOnWhereItStopped) {
    const std::string text =
        "GET / HTTP/1.1\r\nHost: a\r\nx: " + std::string(100, 'y') + "\r\n\r\nz";
    std::size_t from = 0;
    for (std::size_t size = 0; size < text.size() - 1; ++size) {
        const HeadResult result = find_head_end(std::string_view(text).substr(0, size), from);
        ASSERT_EQ(result.state, HeadState::NeedMore) << size;
        ASSERT_LE(result.bytes, size);
        ASSERT_LE(size - result.bytes, 1U) << "reads again what it has seen";
        from = result.bytes;
    }
    const HeadResult result = find_head_end(text, from);
    EXPECT_EQ(result.state, HeadState::Done);
    EXPECT_EQ(result.bytes, text.size() - 1);
}

}  // namespace
}  // namespace thole::http
