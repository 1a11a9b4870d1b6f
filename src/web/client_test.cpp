// One request over a stream, against peers that answer well, badly, late or never.
#include <optional>

#include "web/client.h"
#include "web/web_fixture_test.h"

namespace thole::web {
namespace {

class ClientTest : public WebTest {
protected:
    ClientTest() {
        listen([this](std::unique_ptr<env::Stream> stream) {
            server_ = std::make_unique<RawPeer>(std::move(stream));
        });
    }
    std::unique_ptr<Exchange> start(const Request& request, ExchangeLimits limits = {}) {
        result_.reset();
        server_.reset();
        return start_exchange(
            env_, connect(), request,
            {.limits = limits, .events = {.done = [this](Result<Response> result) {
                                   ASSERT_FALSE(result_.has_value());
                                   result_.emplace(std::move(result));
                               }}});
    }
    // The answer to a request, as `bytes` and then the end of the stream.
    Result<Response> answered(std::string_view bytes, const Request& request = {},
                              ExchangeLimits limits = {}) {
        const std::unique_ptr<Exchange> exchange = start(request, limits);
        until([&] { return server_ && server_->got.find("\r\n\r\n") != std::string::npos; });
        server_->send(bytes);
        server_->stream().end();
        until([&] { return result_.has_value(); });
        return result_.value_or(unavailable("nothing"));
    }
    std::string failure(std::string_view bytes, ExchangeLimits limits = {}) {
        const Result<Response> result = answered(bytes, {}, limits);
        return result.ok() ? "none" : result.error().message;
    }

    std::unique_ptr<RawPeer> server_;
    std::optional<Result<Response>> result_;
};

TEST_F(ClientTest, SendsTheRequestWholeAndReadsTheAnswer) {
    const Request request{.method = "POST",
                          .target = "/a?b=c",
                          .host = "web:80",
                          .fields = {{"X-A", "1"}},
                          .body = "hello"};
    const Result<Response> result = answered(
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nX-B:  two \r\n\r\nokand more", request);
    EXPECT_EQ(server_->got,
              "POST /a?b=c HTTP/1.1\r\nHost: web:80\r\nContent-Length: 5\r\n"
              "Connection: close\r\nX-A: 1\r\n\r\nhello");
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->status, 201);
    EXPECT_EQ(result->body, "ok");
    EXPECT_EQ(result->field("x-b"), "two");
    EXPECT_EQ(result->field("x-c"), "");
}

TEST_F(ClientTest, ReadsABodyHoweverItsEndIsKnown) {
    EXPECT_EQ(answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n")
                  ->body,
              "abcde");
    EXPECT_EQ(answered("HTTP/1.0 200 OK\r\n\r\nuntil the end")->body, "until the end");
    EXPECT_EQ(answered("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")->body, "");
}

TEST_F(ClientTest, KnowsAnswersWithoutABody) {
    EXPECT_EQ(answered("HTTP/1.1 204 No Content\r\n\r\nx")->body, "");
    EXPECT_EQ(answered("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")->status, 304);
    EXPECT_EQ(answered("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", {.method = "HEAD"})->status,
              200);
}

TEST_F(ClientTest, SkipsInterimAnswersButNotForEver) {
    const std::string hint = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
    EXPECT_EQ(answered("HTTP/1.1 100 Continue\r\n\r\n" + hint +
                       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
                  ->body,
              "1");
    std::string hints;
    for (int i = 0; i < 20; ++i) hints += hint;
    EXPECT_EQ(failure(hints), "the answer never begins: only 103");
}

// Cut anywhere, the answer is the same: the network cuts where it likes.
TEST_F(ClientTest, ReadsAnAnswerThatComesOneByteAtATime) {
    const std::string answer =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n0\r\n\r\n";
    const std::unique_ptr<Exchange> exchange = start({});
    until([&] { return server_ && !server_->got.empty(); });
    for (const char c : answer) {
        server_->send({&c, 1});
        until([&] { return server_->stream().unsent_bytes() == 0; });
        EXPECT_FALSE(result_.has_value() && &c != &answer.back());
        loop_.turn(1ms);
    }
    until([&] { return result_.has_value(); });
    EXPECT_EQ((*result_)->body, "abc");

    // The end of an interim head and a whole shorter head at once.
    const std::unique_ptr<Exchange> other = start({});
    until([&] { return server_ && !server_->got.empty(); });
    server_->send("HTTP/1.1 100 Continue\r\n");
    until([&] { return server_->stream().unsent_bytes() == 0; });
    loop_.turn(1ms);
    server_->send("\r\nHTTP/1.1 204 \r\n\r\n");
    until([&] { return result_.has_value(); });
    EXPECT_EQ((*result_)->status, 204);
}

TEST_F(ClientTest, TellsWhatWentWrong) {
    EXPECT_EQ(failure(""), "closed without an answer");
    EXPECT_EQ(failure("HTTP/1.1 200 OK\r\nA"), "closed within the answer's head");
    EXPECT_EQ(failure("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"),
              "closed within the answer's body");
    EXPECT_EQ(failure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
              "closed within the answer's body");
    EXPECT_EQ(failure("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", {.body_bytes_max = 4}),
              "the answer is longer than 4 bytes");
    EXPECT_EQ(failure("220 mail.example ESMTP\r\n\r\n").rfind("the answer is no HTTP: H1-", 0), 0U);
    EXPECT_EQ(failure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
                  .rfind("the answer is no HTTP: H1-", 0),
              0U);
}

TEST_F(ClientTest, TellsThatNobodyListens) {
    const env::Address address = listening_->address();
    listening_.reset();
    const std::unique_ptr<Exchange> exchange = start_exchange(
        env_, env_.network.connect(address), {},
        {.events = {.done = [this](Result<Response> got) { result_.emplace(std::move(got)); }}});
    until([&] { return result_.has_value(); });
    EXPECT_EQ(result_->error().message, "connect: Connection refused");
    EXPECT_EQ(result_->error().code, Code::Unavailable);
}

TEST_F(ClientTest, WaitsNoLongerThanItsLimit) {
    const std::unique_ptr<Exchange> silent = start({}, {.whole = 20ms});
    until([&] { return result_.has_value(); });
    EXPECT_EQ(result_->error().message, "no answer within 20 ms");
    EXPECT_EQ(result_->error().code, Code::Timeout);

    const std::unique_ptr<Exchange> slow = start({}, {.whole = 300ms});
    until([&] { return server_ != nullptr; });
    server_->send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc");
    until([&] { return result_.has_value(); });
    EXPECT_EQ(result_->error().message, "no whole answer within 300 ms");
}

// A path of a manifest must never become two requests.
TEST_F(ClientTest, RefusesARequestThatWouldBeReadAsAnother) {
    const std::vector<Request> bad = {
        {.target = "/a b"},         {.target = "/ HTTP/1.1\r\nX: y"},
        {.target = "ready"},        {.host = ""},
        {.host = "a\r\nX: y"},      {.method = "GET /"},
        {.fields = {{"a b", "c"}}}, {.fields = {{"Content-Length", "7"}}, .body = "abc"}};
    for (std::size_t i = 0; i < bad.size(); ++i) {
        const std::unique_ptr<Exchange> exchange = start(bad[i]);
        EXPECT_FALSE(result_.has_value());  // Never from inside the call.
        until([&] { return result_.has_value(); });
        EXPECT_EQ(result_->error().code, Code::Invalid) << i;
    }
}

TEST_F(ClientTest, AStreamIsGivenPieceByPiece) {
    std::string parts;
    std::optional<Result<Response>> result;
    const std::unique_ptr<Exchange> exchange = start_exchange(
        env_, connect(), {},
        {.limits = {.whole = kForever, .body_bytes_max = 3},
         .events = {.done = [&](Result<Response> got) { result.emplace(std::move(got)); },
                    .on_part = [&](std::string_view part) { parts.append(part); }}});
    until([&] { return server_ != nullptr; });
    server_->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    until([&] { return parts == "abc"; });
    EXPECT_FALSE(result.has_value());
    server_->send("4\r\ndefg\r\n0\r\n\r\n");
    until([&] { return result.has_value(); });
    EXPECT_EQ(parts, "abcdefg");
    EXPECT_EQ((*result)->body, "");
}

TEST_F(ClientTest, ARefusalOfAStreamIsKeptWhole) {
    int parts = 0;
    std::optional<Result<Response>> result;
    const std::unique_ptr<Exchange> exchange = start_exchange(
        env_, connect(), {},
        {.events = {.done = [&](Result<Response> got) { result.emplace(std::move(got)); },
                    .on_part = [&](std::string_view) { ++parts; }}});
    until([&] { return server_ != nullptr; });
    server_->send("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    until([&] { return result.has_value(); });
    EXPECT_EQ((*result)->body, "no");
    EXPECT_EQ(parts, 0);
}

TEST_F(ClientTest, MayBeDestroyedInEachOfItsCallbacks) {
    std::unique_ptr<Exchange> exchange;
    int calls = 0;
    exchange = start_exchange(env_, connect(), {}, {.events = {.done = [&](Result<Response>) {
                                                        exchange.reset();
                                                        ++calls;
                                                    }}});
    until([&] { return server_ != nullptr; });
    server_->send("HTTP/1.1 204 No Content\r\n\r\n");
    until([&] { return calls == 1; });
    server_.reset();

    std::string seen;
    exchange = start_exchange(env_, connect(), {},
                              {.events = {.done = [&](Result<Response>) { ++calls; },
                                          .on_part =
                                              [&](std::string_view part) {
                                                  exchange.reset();
                                                  seen.append(part);
                                              }}});
    until([&] { return server_ != nullptr; });
    server_->send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n");
    until([&] { return server_->is_over; });
    EXPECT_EQ(seen, "a");
    EXPECT_EQ(calls, 1);
}

TEST_F(ClientTest, DestroyedItClosesItsStreamAndSaysNothing) {
    std::unique_ptr<Exchange> exchange = start({});
    until([&] { return server_ && !server_->got.empty(); });
    exchange.reset();
    until([&] { return server_->is_over; });
    EXPECT_FALSE(result_.has_value());
}

}  // namespace
}  // namespace thole::web
