#include "http/emit.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace thole::http {
namespace {

const Edits kNone;

RequestHead request(std::string_view text) {
    RequestHead head;
    const HeadResult result = parse_request_head(text, head);
    EXPECT_EQ(result.state, HeadState::Done) << text << text_of(result.rule).id;
    return head;
}

ResponseHead response(std::string_view text, const Asked& asked) {
    ResponseHead head;
    const HeadResult result = parse_response_head(text, asked, head);
    EXPECT_EQ(result.state, HeadState::Done) << text << text_of(result.rule).id;
    return head;
}

ResponseHead response(std::string_view text) {
    return response(text, {.method = "GET", .upgrade = {}});
}

std::string written(const RequestHead& head, const Edits& edits) {
    std::array<char, 4096> room{};
    const auto size = emit_request_head(head, edits, room);
    return size ? std::string(room.data(), *size) : "does not fit";
}

std::string written(const ResponseHead& head, const Edits& edits) {
    std::array<char, 4096> room{};
    const auto size = emit_response_head(head, edits, room);
    return size ? std::string(room.data(), *size) : "does not fit";
}

TEST(EmitRequest, WritesTheCanonicalForm) {
    const std::string text =
        "\r\nPUT /a?b HTTP/1.1\r\naccept:*/*\r\nhost:\t a:80 \r\ncontent-length: 007\r\n"
        "Cookie: a \r\nx:\r\nCookie: b\r\n\r\n";
    EXPECT_EQ(written(request(text), kNone),
              "PUT /a?b HTTP/1.1\r\nHost: a:80\r\nContent-Length: 7\r\naccept: */*\r\n"
              "Cookie: a\r\nx: \r\nCookie: b\r\n\r\n");
}

TEST(EmitRequest, WritesThePathOfAnAbsoluteTarget) {
    const std::string rest = " HTTP/1.1\r\nHost: other\r\n\r\n";
    EXPECT_EQ(written(request("GET http://a/x" + rest), kNone),
              "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(written(request("GET http://a?x" + rest), kNone),
              "GET /?x HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(written(request("GET http://a" + rest), kNone), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(written(request("OPTIONS http://a" + rest), kNone),
              "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
}

TEST(EmitRequest, DropsWhatIsForThisHopOnly) {
    const std::string text =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-One\r\nKeep-Alive: timeout=5\r\n"
        "Proxy-Connection: x\r\nProxy-Authorization: x\r\nx-one: 1\r\nX-Two: 2\r\nTE: gzip\r\n"
        "Trailer: x\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n";
    EXPECT_EQ(written(request(text), kNone), "GET / HTTP/1.1\r\nHost: a\r\nX-Two: 2\r\n\r\n");
}

// Else a client could strip what the next hop decides by.
TEST(EmitRequest, LetsNobodyListAwayFramingHostOrAuthorization) {
    const std::string text =
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Host, Content-Length, Authorization, "
        "X-Request-Id\r\nContent-Length: 3\r\nAuthorization: b\r\nX-Request-Id: theirs\r\n\r\n";
    const std::array<OwnField, 1> set = {OwnField{.name = "X-Request-Id", .value = "ours"}};
    EXPECT_EQ(written(request(text), {.set = set}),
              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nAuthorization: b\r\n"
              "X-Request-Id: ours\r\n\r\n");
}

// From inside they are believed, and a caller in between could have passed on a Connection of its
// own client's.
TEST(EmitRequest, LetsNobodyListAwayWhoAsks) {
    const std::string text =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For, forwarded, Traceparent, "
        "tracestate, x-request-id, expect, X-Other\r\nX-Forwarded-For: 1\r\nForwarded: 2\r\n"
        "traceparent: 3\r\ntracestate: 4\r\nX-Request-Id: 5\r\nExpect: 100-continue\r\n"
        "X-Other: 6\r\n\r\n";
    EXPECT_EQ(written(request(text), kNone),
              "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\nForwarded: 2\r\n"
              "traceparent: 3\r\ntracestate: 4\r\nX-Request-Id: 5\r\nExpect: 100-continue\r\n"
              "\r\n");
}

// A value taken from elsewhere must not become a line of its own.
TEST(EmitRequest, LetsNoValueThatIsSetEndItsLine) {
    const std::array<OwnField, 1> set = {
        OwnField{.name = "X", .value = "a\r\nContent-Length: 5\n\x01"}};
    EXPECT_EQ(written(request("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), {.set = set}),
              "GET / HTTP/1.1\r\nHost: a\r\nX: a  Content-Length: 5  \r\n\r\n");
}

// It tells whether a request goes round; whoever could list it away would send it round for ever.
TEST(EmitRequest, PassesViaOnThoughItIsListed) {
    const std::array<OwnField, 1> add = {OwnField{.name = "Via", .value = "1.1 c"}};
    const std::string text =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Via\r\nVia: 1.0 a, 1.1 b\r\nVIA:\r\nX: y\r\n\r\n";
    EXPECT_EQ(
        written(request(text), {.add = add}),
        "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 a, 1.1 b\r\nVIA: \r\nX: y\r\nVia: 1.1 c\r\n\r\n");
}

// They would be left out of the answer.
TEST(EmitRequest, NeverSaysThatTrailersAreWelcome) {
    const std::string text =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: deflate;q=0.5, trailers\r\n\r\n";
    EXPECT_EQ(written(request(text), kNone), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

TEST(EmitRequest, AppliesTheEdits) {
    const std::string text =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        "X-Forwarded-For: 1\r\nForwarded: 2\r\nX-Old: 3\r\nX-Set: 4\r\nx-set: 5\r\n\r\n";
    const std::array<OwnField, 2> set = {OwnField{.name = "X-Set", .value = "6"},
                                         OwnField{.name = "X-New", .value = "7"}};
    const std::array<std::string_view, 1> drop = {"x-old"};
    const RequestHead head = request(text);
    const Edits edits{.set = set,
                      .add = {},
                      .drop = drop,
                      .drop_known = bit_of(Known::Forwarded),
                      .framing = {},
                      .persistence = Persistence::Unsaid,
                      .host = "b",
                      .upgrade = head.upgrade};
    EXPECT_EQ(written(head, edits),
              "GET / HTTP/1.1\r\nHost: b\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
              "X-Set: 6\r\nX-New: 7\r\n\r\n");
}

TEST(EmitRequest, RaisesTheVersionWithoutPromisingWhatTheClientDidNot) {
    const RequestHead head = request("PUT / HTTP/1.0\r\nExpect: x\r\nContent-Length: 0\r\n\r\n");
    EXPECT_EQ(written(head, kNone), "does not fit") << "an HTTP/1.1 request needs a host";
    Edits edits;
    edits.host = "a";
    edits.persistence = Persistence::Close;
    EXPECT_EQ(written(head, edits),
              "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

TEST(EmitRequest, WritesAllOrNothing) {
    const RequestHead head = request(
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        "x: y\r\n\r\n");
    const std::string whole = written(head, kNone);
    for (std::size_t size = 0; size <= whole.size() + 1; ++size) {
        std::string room(size, '?');
        const auto got = emit_request_head(head, kNone, room);
        ASSERT_EQ(got.has_value(), size >= whole.size()) << size;
        EXPECT_EQ(room.substr(0, got.value_or(0)), got ? whole : "");
    }
}

TEST(EmitRequest, TakesAHeadThatWasFilledByHand) {
    RequestHead head;
    head.method = "POST";
    head.path = "/v1/spans";
    head.host = "127.0.0.1:4318";
    head.framing = Framing::Length;
    head.length = 12;
    const std::array<OwnField, 1> set = {OwnField{.name = "Content-Type", .value = "text/plain"}};
    EXPECT_EQ(written(head, {.set = set}),
              "POST /v1/spans HTTP/1.1\r\nHost: 127.0.0.1:4318\r\nContent-Length: 12\r\n"
              "Content-Type: text/plain\r\n\r\n");
}

TEST(EmitResponse, WritesTheCanonicalForm) {
    const std::string text =
        "HTTP/1.0 404\r\ncontent-length:3\r\nConnection: x\r\nKeep-Alive: timeout=5\r\nX: 1\r\n"
        "Set-Cookie: a\r\nSet-Cookie: b\r\nFolded: a\r\n b\r\n\r\n";
    EXPECT_EQ(written(response(text), kNone),
              "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
              "Folded: a   b\r\n\r\n");
}

TEST(EmitResponse, WritesTheFramingOfTheBodyThatIsSent) {
    const std::string length = "Content-Length: 5\r\n";
    const Asked head{.method = "HEAD", .upgrade = {}};
    EXPECT_EQ(written(response("HTTP/1.1 200 OK\r\n" + length + "\r\n", head), kNone),
              "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    EXPECT_EQ(written(response("HTTP/1.1 304 N\r\n" + length + "\r\n"), kNone),
              "HTTP/1.1 304 N\r\nContent-Length: 5\r\n\r\n");
    EXPECT_EQ(written(response("HTTP/1.1 204 N\r\n" + length + "\r\n"), kNone),
              "HTTP/1.1 204 N\r\n\r\n");
    EXPECT_EQ(written(response("HTTP/1.1 205 R\r\n\r\n"), kNone),
              "HTTP/1.1 205 R\r\nContent-Length: 0\r\n\r\n")
        << "else a client reads until the connection ends";
    const ResponseHead until_close = response("HTTP/1.1 200 OK\r\n\r\n");
    EXPECT_EQ(written(until_close, kNone), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    Edits edits;
    edits.framing = Framing::Chunked;
    EXPECT_EQ(written(until_close, edits), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    edits.framing = Framing::UntilClose;
    edits.persistence = Persistence::KeepAlive;
    EXPECT_EQ(written(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), edits),
              "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
}

TEST(EmitResponse, AddsAFieldBesideThoseOfItsName) {
    const std::string text = "HTTP/1.1 204 N\r\nX: 1\r\nY: 2\r\nx: 3\r\n\r\n";
    const std::array<OwnField, 1> set = {OwnField{.name = "Y", .value = "4"}};
    const std::array<OwnField, 1> add = {OwnField{.name = "X", .value = "5\r\n"}};
    EXPECT_EQ(written(response(text), {.set = set, .add = add}),
              "HTTP/1.1 204 N\r\nX: 1\r\nx: 3\r\nY: 4\r\nX: 5  \r\n\r\n");
}

TEST(EmitResponse, SwitchesProtocolsWhereItIsToldTo) {
    const std::string text =
        "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\nX: 1\r\n\r\n";
    const ResponseHead head = response(text, {.method = "GET", .upgrade = "websocket"});
    Edits edits;
    edits.upgrade = head.upgrade;
    EXPECT_EQ(written(head, edits),
              "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX: 1\r\n\r\n");
}

TEST(EmitChunk, WritesASizeThatTheDecoderReads) {
    std::array<char, 18> room{};
    EXPECT_EQ(std::string(room.data(), emit_chunk_size(0x1f4, room)), "1f4\r\n");
    EXPECT_EQ(std::string(room.data(), emit_chunk_size(~std::uint64_t{0}, room)),
              "ffffffffffffffff\r\n");
    EXPECT_EQ(emit_chunk_size(0x1f4, std::span(room).first(4)), 0U);
}

}  // namespace
}  // namespace thole::http
