// The API's server on loopback: what it answers to good, bad, slow and leaving clients.
#include "web/server.h"

#include <unistd.h>

#include <optional>

#include "base/random.h"
#include "web/client.h"
#include "web/target.h"
#include "web/web_fixture_test.h"

namespace thole::web {
namespace {

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

class ServerTest : public WebTest {
protected:
    ServerTest() {
        listen([this](std::unique_ptr<env::Stream> stream) {
            if (server_) server_->accept(std::move(stream));
        });
        serve({});
    }
    // Every request is kept; "/wait" and "/stream" are answered by the test, the rest by an echo.
    void serve(ServerOptions options) {
        server_ = std::make_unique<Server>(
            env_, options, [this](const ServerRequest& request, const Responder& responder) {
                seen_.push_back(request);
                if (request.path == "/wait") {
                    waiting_.push_back(responder);
                } else if (request.path == "/end") {
                    server_.reset();
                } else if (request.path != "/drop") {
                    responder.answer(200, request.method + " " + request.path + request.body);
                }
            });
    }
    std::unique_ptr<RawPeer> client(std::string_view bytes) {
        auto peer = std::make_unique<RawPeer>(connect());
        peer->send(bytes);
        return peer;
    }
    // All that comes back until the server closes.
    std::string exchange(std::string_view bytes) {
        const std::unique_ptr<RawPeer> peer = client(bytes);
        until([&] { return peer->is_over; });
        return peer->got;
    }
    void wait_for_requests(std::size_t count) {
        until([&] { return waiting_.size() == count; });
    }

    std::unique_ptr<Server> server_;
    std::vector<ServerRequest> seen_;
    std::vector<Responder> waiting_;
};

bool begins(const std::string& text, std::string_view with) { return text.rfind(with, 0) == 0; }

TEST_F(ServerTest, AnswersAndKeepsTheConnection) {
    const std::unique_ptr<RawPeer> one = client("");
    const std::unique_ptr<RawPeer> two = client("");
    for (int i = 1; i <= 50; ++i) {
        one->send(kGet);
        two->send("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n!");
        until([&] { return one->count("200 OK") == i && two->count("200 OK") == i; });
    }
    EXPECT_EQ(two->count("POST /b!"), 50);
    EXPECT_TRUE(begins(one->got,
                       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                       "Content-Type: application/json\r\n\r\nGET /HTTP/1.1 200 OK"));
    EXPECT_FALSE(one->is_over);
}

TEST_F(ServerTest, ClosesWhereTheClientSaysSoOrIsOld) {
    const std::string closed = exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_NE(closed.find("\r\nConnection: close\r\n"), std::string::npos);
    EXPECT_NE(exchange("GET / HTTP/1.0\r\n\r\n").find("\r\nConnection: close\r\n"),
              std::string::npos);
    const std::unique_ptr<RawPeer> old = client("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    until([&] { return old->count("GET /") == 1; });
    EXPECT_EQ(old->count("\r\nConnection: keep-alive\r\n"), 1);
}

TEST_F(ServerTest, TakesAnyCutOfARequest) {
    const std::string request =
        "PUT /x?a=1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2;e=f\r\nde\r\n0\r\n\r\n";
    const std::unique_ptr<RawPeer> peer = client("");
    for (const char c : request) {
        EXPECT_TRUE(seen_.empty());
        peer->send({&c, 1});
        loop_.turn(1ms);
        loop_.turn(1ms);
    }
    until([&] { return !seen_.empty(); });
    EXPECT_EQ(seen_[0].body, "abcde");
    EXPECT_EQ(seen_[0].parameter("a"), "1");

    // The end of a head and a whole shorter request at once.
    peer->send("GET /a/longer/path HTTP/1.1\r\nHost: a\r\n");
    until([&] { return peer->stream().unsent_bytes() == 0; });
    loop_.turn(1ms);
    peer->send("\r\n" + std::string(kGet));
    until([&] { return seen_.size() == 3; });
}

// Two answers must never be mixed up: the second request is not even looked at before.
TEST_F(ServerTest, AnswersPipelinedRequestsOneAfterAnother) {
    std::string requests = "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";
    for (int i = 0; i < 3000; ++i) requests += kGet;
    requests += "GET /last HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::unique_ptr<RawPeer> peer = client(requests);
    wait_for_requests(1);
    until([&] { return peer->stream().unsent_bytes() == 0; });
    loop_.turn(1ms);
    EXPECT_EQ(seen_.size(), 1U);
    EXPECT_EQ(peer->got, "");
    waiting_[0].answer(200, "first");
    EXPECT_EQ(seen_.size(), 1U);  // Never from inside the answer.
    until([&] { return peer->got.ends_with("GET /last"); });
    EXPECT_EQ(peer->count("200 OK"), 3002);
    EXPECT_EQ(peer->got.find("first"), peer->got.find("\r\n\r\n") + 4);
}

TEST_F(ServerTest, AnswersWhoHasClosedItsSendingSide) {
    const std::unique_ptr<RawPeer> peer =
        client("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" + std::string(kGet));
    peer->stream().end();
    wait_for_requests(1);
    loop_.turn(1ms);
    EXPECT_TRUE(waiting_[0].is_open());
    waiting_[0].answer(200, "late");
    until([&] { return peer->is_over; });
    EXPECT_EQ(peer->count("200 OK"), 2);
}

TEST_F(ServerTest, DecodesPathAndQuery) {
    const Result<TargetParts> parts = split_target("/a%20b%2Fc+d?x=1+2&&y&%26=%3d=&x=3");
    ASSERT_TRUE(parts.ok());
    EXPECT_EQ(parts->path, "/a b/c+d");
    const std::vector<std::pair<std::string, std::string>> query = {
        {"x", "1 2"}, {"y", ""}, {"&", "=="}, {"x", "3"}};
    EXPECT_EQ(parts->query, query);
    EXPECT_EQ(split_target("?a")->path, "/");
    for (const char* bad : {"/%", "/%2", "/%2g", "/%g2", "/?a=%", "/?%4=a"})
        EXPECT_FALSE(split_target(bad).ok()) << bad;
    EXPECT_EQ(split_target("/%41").value().path, "/A");
    EXPECT_TRUE(begins(exchange("GET /%2x HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 400 "));
}

TEST_F(ServerTest, HasALimitOnEverything) {
    serve({.body_bytes_max = 10});
    const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
    const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
    EXPECT_TRUE(begins(exchange(post + "Content-Length: 11\r\n\r\n"), "HTTP/1.1 413 "));
    EXPECT_TRUE(begins(exchange(chunked + "9\r\n123456789\r\n2\r\n12\r\n"), "HTTP/1.1 413 "));
    EXPECT_TRUE(begins(exchange(chunked + "xyz\r\n"), "HTTP/1.1 400 "));
    EXPECT_TRUE(begins(exchange("GET / HTTP/1.1\r\nHost: a\r\nB: " + std::string(40'000, 'b')),
                       "HTTP/1.1 431 "));
    EXPECT_TRUE(begins(exchange("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 "));
    EXPECT_TRUE(seen_.empty());
    const std::string got = exchange("\x16\x03\x01 hello\r\n\r\n");
    const Error error = error_of(400, std::string_view(got).substr(got.find("\r\n\r\n") + 4));
    EXPECT_EQ(error.code, Code::Invalid);
    EXPECT_NE(error.message.find("H1-"), std::string::npos);
    const std::unique_ptr<RawPeer> fits = client(post + "Content-Length: 10\r\n\r\n0123456789");
    until([&] { return fits->count("200 OK") == 1; });
}

TEST_F(ServerTest, HasALimitOnEveryWait) {
    serve({.connections_max = 1, .head_limit = 30ms, .idle_limit = 60ms});
    const std::unique_ptr<RawPeer> silent = client("");
    EXPECT_TRUE(begins(exchange(kGet), "HTTP/1.1 503 "));
    until([&] { return begins(exchange(kGet), "HTTP/1.1 200 "); });
    serve({.head_limit = 30ms, .idle_limit = 60ms});
    EXPECT_TRUE(begins(exchange("GET / HT"), "HTTP/1.1 408 "));
    EXPECT_TRUE(begins(exchange("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n1"),
                       "HTTP/1.1 408 "));
    const std::string idle = exchange(kGet);
    EXPECT_TRUE(begins(idle, "HTTP/1.1 200 "));
    EXPECT_EQ(idle.find("408"), std::string::npos);
}

TEST_F(ServerTest, TellsWhoComesAboveItsLimitOfConnections) {
    serve({.connections_max = 1});
    std::unique_ptr<RawPeer> first = client(kGet);
    until([&] { return first->count("200 OK") == 1; });
    EXPECT_TRUE(begins(exchange(kGet), "HTTP/1.1 503 "));
    EXPECT_EQ(seen_.size(), 1U);
    first.reset();
    until([&] {
        const std::string got = exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        return begins(got, "HTTP/1.1 200 ");
    });
}

TEST_F(ServerTest, SaysContinueWhereTheBodyWaitsForIt) {
    const std::string head =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    const std::unique_ptr<RawPeer> peer = client(head);
    until([&] { return peer->got == "HTTP/1.1 100 Continue\r\n\r\n"; });
    peer->send("ab");
    until([&] { return peer->count("POST /ab") == 1; });
    const std::unique_ptr<RawPeer> hasty = client(head + "ab");
    until([&] { return hasty->count("POST /ab") == 1; });
    EXPECT_EQ(hasty->count("100 Continue"), 0);
}

TEST_F(ServerTest, AnswersHeadWithoutABody) {
    const std::unique_ptr<RawPeer> peer =
        client("HEAD /wait HTTP/1.1\r\nHost: a\r\n\r\nHEAD /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for_requests(1);
    EXPECT_EQ(seen_[0].method, "GET");
    waiting_[0].answer(200, "12345");
    wait_for_requests(2);
    waiting_[1].begin(200, "text/plain");
    EXPECT_FALSE(waiting_[1].is_open());
    waiting_[1].part("nothing of this");
    waiting_[1].end();
    peer->send(kGet);
    until([&] { return peer->count("200 OK") == 3; });
    EXPECT_EQ(peer->count("Content-Length: 5\r\n"), 2);
    EXPECT_EQ(peer->count("12345"), 0);
    EXPECT_EQ(peer->count("nothing"), 0);
}

TEST_F(ServerTest, ARequestThatIsDroppedIsAnswered500) {
    const std::string drop = "GET /drop HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::unique_ptr<RawPeer> peer = client(drop + std::string(kGet));
    until([&] { return peer->count("HTTP/1.1 500 ") == 1 && peer->count("200 OK") == 1; });
}

TEST_F(ServerTest, RefusalsAreReadBackAsTheyWereMeant) {
    const std::unique_ptr<RawPeer> peer = client("");
    const Code codes[] = {Code::Invalid,     Code::NotFound, Code::Conflict, Code::Denied,
                          Code::Unavailable, Code::Timeout,  Code::Overload, Code::Corrupt};
    const int statuses[] = {400, 404, 409, 403, 503, 504, 429, 500};
    for (std::size_t i = 0; i < std::size(codes); ++i) {
        peer->got.clear();
        peer->send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for_requests(i + 1);
        waiting_[i].refuse({codes[i], "no \"web\"", i % 2 == 0 ? "thole up" : ""});
        until([&] { return peer->got.find("}}") != std::string::npos; });
        EXPECT_TRUE(begins(peer->got, "HTTP/1.1 " + std::to_string(statuses[i]) + " "));
        const std::string body = peer->got.substr(peer->got.find("\r\n\r\n") + 4);
        const Error error = error_of(0, body);
        EXPECT_EQ(error.code, codes[i]);
        EXPECT_EQ(error.message, "no \"web\"");
        EXPECT_EQ(error.hint, i % 2 == 0 ? "thole up" : "");
    }
    for (const char* other :
         {"", "<html>", "{}", "{\"error\":{\"code\":\"odd\",\"message\":\"\"}}"})
        EXPECT_EQ(error_of(502, other).code, Code::Unavailable) << other;
    EXPECT_EQ(error_of(502, "x").message, "the answer is 502 without a reason");
}

TEST_F(ServerTest, StreamsPartByPartToItsOwnClient) {
    std::string parts;
    std::optional<Result<Response>> result;
    const std::unique_ptr<Exchange> exchange = start_exchange(
        env_, connect(), {.target = "/wait"},
        {.limits = {.whole = kForever},
         .events = {.done = [&](Result<Response> got) { result.emplace(std::move(got)); },
                    .on_part = [&](std::string_view part) { parts.append(part); }}});
    wait_for_requests(1);
    waiting_[0].begin(200, "text/event-stream");
    for (const char* part : {"one", "", "two"}) waiting_[0].part(part);
    until([&] { return parts == "onetwo"; });
    EXPECT_TRUE(waiting_[0].is_open());
    waiting_[0].part(std::string(100'000, 'x'));
    waiting_[0].end();
    EXPECT_FALSE(waiting_[0].is_open());
    until([&] { return result.has_value(); });
    EXPECT_EQ(parts.size(), 100'006U);
    EXPECT_EQ((*result)->field("content-type"), "text/event-stream");
}

TEST_F(ServerTest, AStreamToAnOldClientEndsWithTheConnection) {
    const std::unique_ptr<RawPeer> peer =
        client("GET /wait HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    wait_for_requests(1);
    waiting_[0].begin(200, "text/plain");
    waiting_[0].part("abc");
    waiting_[0].end();
    until([&] { return peer->is_over; });
    EXPECT_EQ(peer->got,
              "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nabc");
}

// Half an answer must not look like a whole one.
TEST_F(ServerTest, AStreamThatIsDroppedOrRefusedIsCut) {
    for (const bool is_refused : {false, true}) {
        waiting_.clear();
        const std::unique_ptr<RawPeer> peer = client("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for_requests(1);
        waiting_[0].begin(200, "text/plain");
        waiting_[0].part("abc");
        until([&] { return peer->count("abc") == 1; });
        if (is_refused) waiting_[0].refuse(unavailable("no more"));
        if (!is_refused) waiting_.clear();
        until([&] { return peer->is_over; });
        EXPECT_EQ(peer->count("0\r\n\r\n"), 0);
    }
}

TEST_F(ServerTest, NoticesThatAClientLeaves) {
    std::unique_ptr<RawPeer> streamed = client("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for_requests(1);
    waiting_[0].begin(200, "text/plain");
    EXPECT_TRUE(waiting_[0].is_open());
    streamed.reset();
    until([&] { return !waiting_[0].is_open(); });
    waiting_[0].part("to nobody");
    waiting_[0].end();

    const std::unique_ptr<RawPeer> half = client("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for_requests(2);
    waiting_[1].begin(200, "text/plain");
    half->stream().end();
    until([&] { return !waiting_[1].is_open(); });

    // Mid-head, mid-body, and with a question that is answered later.
    for (const char* bytes : {"GET / HT", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1",
                              "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"}) {
        const std::unique_ptr<RawPeer> peer = client(bytes);
        until([&] { return peer->stream().unsent_bytes() == 0; });
        loop_.turn(1ms);
    }
    wait_for_requests(3);
    loop_.turn(1ms);
    waiting_[2].answer(200, std::string(1'000'000, 'x'));
    const std::unique_ptr<RawPeer> next = client(kGet);
    until([&] { return next->count("200 OK") == 1; });
}

TEST_F(ServerTest, OnAUnixSocketKnowsItsClientAndThatItLeft) {
    char folder[] = "/tmp/thole-web-test-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    const std::string path = std::string(folder) + "/api";
    auto listening = env_.network.listen_unix(
        path, [this](std::unique_ptr<env::Stream> stream) { server_->accept(std::move(stream)); });
    ASSERT_TRUE(listening.ok());
    // With a second request behind the first, so that reading is paused while it leaves.
    auto peer = std::make_unique<RawPeer>(env_.network.connect_unix(path));
    peer->send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" + std::string(kGet));
    wait_for_requests(1);
    EXPECT_EQ(seen_[0].peer.uid, ::getuid());
    EXPECT_EQ(seen_[0].peer.pid, static_cast<std::uint32_t>(::getpid()));
    EXPECT_TRUE(waiting_[0].is_open());
    peer.reset();
    until([&] { return !waiting_[0].is_open(); });
    waiting_[0].answer(200, "to nobody");
    EXPECT_EQ(seen_.size(), 1U);
    EXPECT_TRUE(env_.files.remove(path).ok());
    EXPECT_EQ(::rmdir(folder), 0);
}

// A dashboard in a sleeping laptop must not cost us memory without end.
TEST_F(ServerTest, AStreamWhoseReaderStopsIsNotOpenAnyMore) {
    const std::unique_ptr<RawPeer> peer = client("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for_requests(1);
    waiting_[0].begin(200, "text/plain");
    until([&] { return peer->count("200 OK") == 1; });
    peer->stream().pause();
    const std::string part(100'000, 'x');
    int sent = 0;
    for (; sent < 1000 && waiting_[0].is_open(); ++sent) {
        waiting_[0].part(part);
        loop_.turn(0ms);
    }
    EXPECT_GT(sent, 40);
    EXPECT_LT(sent, 1000);
    waiting_[0].part(part);
    waiting_.clear();
    peer->stream().resume();
    until([&] { return peer->is_over; });
    EXPECT_EQ(peer->count("0\r\n\r\n"), 0);
}

TEST_F(ServerTest, AReaderWhoStopsIsLeftAfterTheIdleLimit) {
    serve({.connections_max = 1, .idle_limit = 50ms});
    const std::unique_ptr<RawPeer> peer = client("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for_requests(1);
    peer->stream().pause();
    waiting_[0].answer(200, std::string(30'000'000, 'x'), "text/plain");
    EXPECT_TRUE(begins(exchange(kGet), "HTTP/1.1 503 "));
    until([&] { return begins(exchange(kGet), "HTTP/1.1 200 "); });
}

TEST_F(ServerTest, ALargeAnswerReachesASlowReaderWhole) {
    const std::unique_ptr<RawPeer> peer =
        client("GET /wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    wait_for_requests(1);
    peer->stream().pause();
    waiting_[0].answer(200, std::string(20'000'000, 'x'), "text/plain");
    for (int i = 0; i < 20; ++i) loop_.turn(1ms);
    peer->stream().resume();
    until([&] { return peer->is_over; });
    EXPECT_EQ(peer->got.size() - peer->got.find("\r\n\r\n") - 4, 20'000'000U);
}

TEST_F(ServerTest, MayBeDestroyedWhileRequestsAreOpen) {
    const std::unique_ptr<RawPeer> one = client("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    const std::unique_ptr<RawPeer> two = client("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    const std::unique_ptr<RawPeer> idle = client(kGet);
    wait_for_requests(2);
    waiting_[0].begin(200, "text/plain");
    server_.reset();
    EXPECT_FALSE(waiting_[0].is_open());
    waiting_[0].part("a");
    waiting_[0].end();
    waiting_[1].answer(200, "b");
    until([&] { return one->is_over && two->is_over && idle->is_over; });
    EXPECT_EQ(two->got, "");
}

TEST_F(ServerTest, MayBeDestroyedByItsOwnHandler) {
    EXPECT_EQ(exchange("GET /end HTTP/1.1\r\nHost: a\r\n\r\n" + std::string(kGet)), "");
    EXPECT_EQ(seen_.size(), 1U);
    serve({});
    const std::unique_ptr<RawPeer> pipelined =
        client(std::string(kGet).append("GET /end HTTP/1.1\r\nHost: a\r\n\r\n"));
    until([&] { return pipelined->is_over; });
    EXPECT_EQ(seen_.size(), 3U);
}

// Whatever comes, there is an answer or an end, and the next client is served.
TEST_F(ServerTest, SurvivesGarbage) {
    serve({.head_limit = 20ms, .idle_limit = 20ms});
    const std::string good =
        "POST /a?b=%20 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n0\r\n\r\nGET /drop HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n";
    Random random(7);
    for (int round = 0; round < 300; ++round) {
        std::string bytes = good;
        for (std::uint64_t i = random.below(4) + 1; i > 0; --i)
            bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
        bytes.resize(random.below(bytes.size()) + 1);
        const std::unique_ptr<RawPeer> peer = client(bytes);
        if (round % 2 == 0) peer->stream().end();
        until([&] { return peer->is_over; });
        EXPECT_TRUE(peer->got.empty() || begins(peer->got, "HTTP/1.1 ")) << bytes;
    }
    EXPECT_TRUE(begins(exchange(kGet), "HTTP/1.1 200 "));
}

}  // namespace
}  // namespace thole::web
