// Messages changed at random places, from fixed seeds: what holds for all of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "http/body.h"
#include "http/emit.h"
#include "http/grammar.h"
#include "http/head.h"

namespace thole::http {
namespace {

const std::vector<std::string> kRequests = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nPOST /a?b HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
    "PUT http://a.b/c HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-A\r\nUpgrade: websocket\r\nX-A: "
    "1\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: [::1]:8\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n"
    "Content-Length: 0\r\nCookie: a=b; c=d\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
};
const std::vector<std::string> kResponses = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello",
    "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=5\r\nF: a\r\n b\r\n\r\n",
    "HTTP/1.0 304 Not Modified\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
    "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.1 404 \r\nConnection: close, X-A\r\nX-A: b\r\nSet-Cookie: a\r\n\r\n",
};
const std::vector<std::string> kBodies = {
    "5\r\nhello\r\n0\r\n\r\n",
    "a;b=c\r\n0123456789\r\n00b ; d=\"e\\\"f\";g\r\n0123456789a\r\n0;h\r\nX: y\r\nZ:\r\n\r\n",
    "1\r\na\r\n1\r\nb\r\n2\r\ncd\r\n0\r\nTrailer: x\r\n\r\n",
};
const std::vector<std::string> kPieces = {
    "\r\n",
    "\n",
    "\r",
    "\r\n ",
    ":",
    " ",
    "\t",
    ",",
    ";",
    "\"",
    "\\",
    "=",
    "chunked",
    "Content-Length: 6\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: b\r\n",
    "Connection: X\r\n",
    "HTTP/1.1",
    "0",
    "ffffffffffffffff",
    "%00",
    "#",
    "@",
    "_",
    "-",
    "\x80",
    "\x7f",
    "close",
};

std::string mutated(const std::string& text, Random& random) {
    std::string out = text;
    const auto below = [&](std::size_t bound) {
        return static_cast<std::size_t>(random.below(bound));
    };
    for (std::size_t left = 1 + below(3); left > 0; --left) {
        const std::size_t at = below(out.size() + 1);
        const std::size_t size = std::min(below(8) + 1, out.size() - at);
        switch (random.below(5)) {
            case 0: out.insert(at, kPieces[below(kPieces.size())]); break;
            case 1: out.erase(at, size); break;
            case 2: out.insert(below(out.size() + 1), out.substr(at, size)); break;
            case 3: out.insert(at, 1, static_cast<char>(random.below(256))); break;
            default:
                if (at < out.size()) out[at] = static_cast<char>(random.below(256));
                break;
        }
    }
    return out;
}

HeadResult parse(std::string_view text, RequestHead& head) {
    return parse_request_head(text, head);
}
HeadResult parse(std::string_view text, ResponseHead& head) {
    return parse_response_head(text, {.method = "GET", .upgrade = "websocket"}, head);
}

// However the bytes arrive: nothing, or the result that all of them give.
template <typename Head>
void expect_same_in_drops(const std::string& text) {
    Head head;
    const HeadResult whole = parse(text, head);
    std::size_t from = 0;
    for (std::size_t size = 0; size <= text.size(); ++size) {
        const std::string_view prefix = std::string_view(text).substr(0, size);
        const HeadResult part = parse(prefix, head);
        const HeadResult found = find_head_end(prefix, from);
        if (part.state == HeadState::NeedMore) {
            ASSERT_EQ(found.state, HeadState::NeedMore) << testing::PrintToString(text);
            from = found.bytes;
            continue;
        }
        ASSERT_NE(found.state, HeadState::NeedMore) << testing::PrintToString(text);
        ASSERT_EQ(part.state, whole.state) << testing::PrintToString(text) << size;
        ASSERT_EQ(part.rule, whole.rule) << testing::PrintToString(text) << size;
        ASSERT_EQ(part.bytes, whole.bytes) << testing::PrintToString(text) << size;
        return;
    }
    ASSERT_EQ(whole.state, HeadState::NeedMore);
}

bool is_for_next_hop(const MessageHead& head, const Field& field) {
    switch (field.known) {
        case Known::Other:
        case Known::RequestTimeout:
        case Known::GrpcTimeout:
        case Known::Attempt: break;
        case Known::Authorization:
        case Known::Forwarded:
        case Known::RequestId:
        case Known::Traceparent:
        case Known::Tracestate: return true;
        case Known::Expect: return field.is_folded;  // Depends on the version: not compared.
        default: return false;
    }
    return std::none_of(head.listed.begin(), head.listed.begin() + head.listed_count,
                        [&](std::string_view name) { return same_name(name, field.name); });
}

// What must come out the same at the next hop.
std::string meaning(const MessageHead& head) {
    std::string out = std::to_string(static_cast<int>(head.framing)) + " " +
                      std::to_string(head.length) + (head.says_length ? " said" : "");
    for (const Field& field : head.all()) {
        if (!is_for_next_hop(head, field)) continue;
        std::string value(field.value);
        std::replace_if(
            value.begin(), value.end(), [](char c) { return c == '\r' || c == '\n'; }, ' ');
        out.append("\n").append(field.name).append(": ").append(value);
    }
    return out;
}

std::string meaning(const RequestHead& head) {
    const bool lacks_path = head.path.empty() || head.path.front() == '?';
    std::string out(head.method);
    out.append(lacks_path ? " /" : " ").append(head.path).append(" ").append(head.host);
    return out + "\n" + meaning(static_cast<const MessageHead&>(head));
}

std::string meaning(const ResponseHead& head) {
    return std::to_string(head.status) + " " + meaning(static_cast<const MessageHead&>(head));
}

std::optional<std::size_t> emit(const RequestHead& head, std::span<char> to) {
    return emit_request_head(head, {.upgrade = head.upgrade}, to);
}
std::optional<std::size_t> emit(const ResponseHead& head, std::span<char> to) {
    return emit_response_head(head, {.upgrade = head.upgrade}, to);
}

template <typename Head>
bool is_same_after_emission(const std::string& text) {
    Head head;
    if (parse(text, head).state != HeadState::Done) return false;
    std::array<char, 8192> room{};
    const auto size = emit(head, room);
    if (!size) return false;  // An old request without a host.
    const std::string_view written(room.data(), *size);
    Head again;
    const HeadResult result = parse(written, again);
    EXPECT_EQ(result.bytes, written.size()) << testing::PrintToString(text) << "\n"
                                            << written << text_of(result.rule).id;
    EXPECT_EQ(meaning(again), meaning(head)) << testing::PrintToString(text);
    std::array<char, 8192> second{};
    EXPECT_EQ(emit(again, second), size) << testing::PrintToString(text);
    EXPECT_EQ(written, std::string_view(second.data(), *size));
    return true;
}

template <typename Head>
void try_all(const std::vector<std::string>& seeds, std::uint64_t seed) {
    Random random(seed);
    std::size_t accepted = 0;
    for (int round = 0; round < 20000; ++round) {
        const std::string text =
            mutated(seeds[static_cast<std::size_t>(random.below(seeds.size()))], random);
        expect_same_in_drops<Head>(text);
        accepted += is_same_after_emission<Head>(text) ? 1U : 0U;
        if (testing::Test::HasFailure()) return;
    }
    // Else the mutations prove nothing about what is accepted.
    EXPECT_GT(accepted, 2000U);
}

TEST(Mutations, OfRequestsAreReadAlikeInDropsAndWrittenWithTheSameMeaning) {
    try_all<RequestHead>(kRequests, 1);
}

TEST(Mutations, OfResponsesAreReadAlikeInDropsAndWrittenWithTheSameMeaning) {
    try_all<ResponseHead>(kResponses, 2);
}

struct Read {
    std::string payload, passed;
    std::size_t consumed = 0;
    BodyState state = BodyState::NeedMore;
    Rule rule = Rule::None;
    bool operator==(const Read&) const = default;
};

Read read_in_pieces(std::string_view text, const std::vector<std::size_t>& cuts) {
    BodyDecoder decoder(Framing::Chunked, 0), passer(Framing::Chunked, 0);
    Read outcome;
    std::size_t passed = 0;
    std::size_t begin = 0;
    for (const std::size_t end : cuts) {
        for (std::string_view left = text.substr(begin, end - begin);
             !left.empty() && decoder.state() == BodyState::NeedMore;) {
            const Fed fed = decoder.decode(left);
            outcome.payload += fed.piece;
            outcome.consumed += fed.consumed;
            left.remove_prefix(fed.consumed);
        }
        for (std::string_view left = text.substr(begin, end - begin);
             !left.empty() && passer.state() == BodyState::NeedMore;) {
            const Fed fed = passer.pass(left);
            outcome.passed += fed.piece;
            passed += fed.consumed;
            left.remove_prefix(fed.consumed);
        }
        begin = end;
    }
    EXPECT_EQ(passed, outcome.consumed) << testing::PrintToString(text);
    EXPECT_EQ(passer.rule(), decoder.rule()) << testing::PrintToString(text);
    outcome.state = decoder.state();
    outcome.rule = decoder.rule();
    return outcome;
}

TEST(Mutations, OfBodiesAreReadAlikeInDropsAndPassedOnWithTheSamePayload) {
    Random random(3);
    std::size_t accepted = 0;
    for (int round = 0; round < 40000; ++round) {
        const std::string text =
            mutated(kBodies[static_cast<std::size_t>(random.below(kBodies.size()))], random);
        const Read whole = read_in_pieces(text, {text.size()});
        std::vector<std::size_t> cuts = {text.size()};
        for (int i = 0; i < 6; ++i) {
            cuts.push_back(static_cast<std::size_t>(random.below(text.size() + 1)));
        }
        std::sort(cuts.begin(), cuts.end());
        ASSERT_EQ(read_in_pieces(text, cuts), whole) << testing::PrintToString(text);
        if (whole.state != BodyState::Done) continue;
        ++accepted;
        const Read again = read_in_pieces(whole.passed, {whole.passed.size()});
        ASSERT_EQ(again.state, BodyState::Done) << testing::PrintToString(text);
        ASSERT_EQ(again.payload, whole.payload) << testing::PrintToString(text);
        ASSERT_EQ(again.passed, whole.passed) << testing::PrintToString(text);
    }
    EXPECT_GT(accepted, 1000U);
}

}  // namespace
}  // namespace thole::http
