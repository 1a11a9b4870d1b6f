#include "http/body.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace thole::http {
namespace {

using namespace std::string_literals;

enum class Way { Decode, Pass, PassData };

struct Outcome {
    std::string pieces;
    std::size_t consumed = 0;
    BodyState state = BodyState::NeedMore;
    Rule rule = Rule::None;
    bool is_canonical = true;

    bool operator==(const Outcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
    return out << "{" << testing::PrintToString(outcome.pieces) << ", " << outcome.consumed << ", "
               << static_cast<int>(outcome.state) << ", " << text_of(outcome.rule).id << "}";
}

void feed(BodyDecoder& body, std::string_view bytes, Way way, Outcome& outcome) {
    while (!bytes.empty() && body.state() == BodyState::NeedMore) {
        const Fed fed = way == Way::Decode ? body.decode(bytes) : body.pass(bytes);
        EXPECT_EQ(fed.state, body.state());
        EXPECT_TRUE(fed.consumed > 0 || fed.state != BodyState::NeedMore) << "stands still";
        outcome.pieces += fed.piece;
        outcome.consumed += fed.consumed;
        bytes.remove_prefix(fed.consumed);
    }
}

Outcome finish(const BodyDecoder& body, Outcome outcome) {
    outcome.state = body.state();
    outcome.rule = body.rule();
    outcome.is_canonical = body.is_canonical();
    return outcome;
}

Outcome run(BodyDecoder body, std::string_view bytes, Way way) {
    Outcome outcome;
    feed(body, bytes, way, outcome);
    return finish(body, outcome);
}

BodyDecoder decoder_of(Way way) {
    BodyDecoder body(Framing::Chunked, 0);
    if (way == Way::PassData) body.leave_out_framing();
    return body;
}

Outcome chunked(std::string_view bytes, Way way) { return run(decoder_of(way), bytes, way); }

struct BodyCase {
    Rule rule;
    std::string refused;
    std::string accepted;  // Its nearest neighbour that is right.
};

const std::string kEnd = "0\r\n\r\n";
const std::string kLong(1021, 'x');

const std::vector<BodyCase> kBodyCases = {
    {Rule::ChunkSize, "\r\n\r\n", kEnd},
    {Rule::ChunkSize, " 1\r\na\r\n" + kEnd, "1\r\na\r\n" + kEnd},
    {Rule::ChunkSize, "+1\r\na\r\n" + kEnd, "01\r\na\r\n" + kEnd},
    {Rule::ChunkSize, "-1\r\na\r\n" + kEnd, "1\r\na\r\n" + kEnd},
    {Rule::ChunkSize, "0x1\r\na\r\n" + kEnd, "001\r\na\r\n" + kEnd},
    {Rule::ChunkSize, "1_0\r\n", "A\r\n0123456789\r\n" + kEnd},
    {Rule::ChunkSize, "g\r\n", "a\r\n0123456789\r\n" + kEnd},
    {Rule::ChunkSize, ";a=b\r\n", "0;a=b\r\n\r\n"},
    {Rule::ChunkSize, "00000000000000000\r\n\r\n", "0000000000000000\r\n\r\n"},
    {Rule::ChunkSize, "1\r\na\r\n\r\n", "1\r\na\r\n" + kEnd},
    {Rule::ChunkRange, "8000000000000000\r\n", "0000000000000001\r\na\r\n" + kEnd},
    {Rule::ChunkRange, "ffffffffffffffff\r\n", kEnd},
    {Rule::ChunkLine, "1\na\r\n" + kEnd, "1\r\na\r\n" + kEnd},
    {Rule::ChunkLine, "1\r\r\na", "1\r\na\r\n" + kEnd},
    {Rule::ChunkLine, "1\r\na\n" + kEnd, "1\r\na\r\n" + kEnd},
    {Rule::ChunkLine, "1\r\nab\r\n" + kEnd, "2\r\nab\r\n" + kEnd},
    {Rule::ChunkLine, "1\r\na\rx", "1\r\na\r\n" + kEnd},
    {Rule::ChunkLine, "1\r\na" + kEnd, "1\r\na\r\n" + kEnd},
    {Rule::ChunkLine, "0;a\n\r\n", "0;a\r\n\r\n"},
    {Rule::ChunkExtension, "0 \r\n\r\n", "0 ;a\r\n\r\n"},
    {Rule::ChunkExtension, "0;\r\n\r\n", "0;a\r\n\r\n"},
    {Rule::ChunkExtension, "0;a \r\n\r\n", "0;a ;b\r\n\r\n"},
    {Rule::ChunkExtension, "0;a=\r\n\r\n", "0;a=b\r\n\r\n"},
    {Rule::ChunkExtension, "0;a=\"b\r\n\r\n", "0;a=\"b\"\r\n\r\n"},
    {Rule::ChunkLine, "0\r\n\rx", kEnd},
    {Rule::ChunkExtension, "0;;;a\r\n\r\n", "0;a;b\r\n\r\n"},
    {Rule::ChunkExtension, "0 a\r\n\r\n", "0\t; a\r\n\r\n"},
    {Rule::ChunkExtension, "0;a\0b\r\n\r\n"s, "0;a\r\n\r\n"},
    {Rule::ChunkExtension, "0;a=b c\r\n\r\n", "0;a = \"b c\"\r\n\r\n"},
    {Rule::ChunkExtension, "0;a=\"b\"c\r\n\r\n", "0;a=\"b\\\"\" ;c=d\r\n\r\n"},
    {Rule::ChunkExtension, "0;a==b\r\n\r\n", "0;a=\"=\"\r\n\r\n"},
    {Rule::ChunkExtension, "0;a=\"\0\"\r\n\r\n"s, "0;a=\"\t\x80\"\r\n\r\n"},
    {Rule::ChunkExtension, "0;\"a\"\r\n\r\n", "0;a\r\n\r\n"},
    {Rule::ChunkExtension, "0;=a\r\n\r\n", "0;a\r\n\r\n"},
    {Rule::ChunkExtensionLong, "0;aaa" + kLong + "\r\n\r\n", "0;aa" + kLong + "\r\n\r\n"},
    {Rule::Trailer, "0\r\nabc\r\n\r\n", "0\r\nabc:\r\n\r\n"},
    {Rule::Trailer, "0\r\n: a\r\n\r\n", "0\r\nx: a\r\n\r\n"},
    {Rule::Trailer, "0\r\nx : a\r\n\r\n", "0\r\nx: a \r\n\r\n"},
    {Rule::Trailer, "0\r\nx: a\n\r\n", "0\r\nx: a\r\ny: b\r\n\r\n"},
    {Rule::Trailer, "0\r\nx: a\r\r\n", "0\r\nx: a\r\n\r\n"},
    {Rule::Trailer, "0\r\nx: a\r\n b\r\n\r\n", "0\r\nx: a b\r\n\r\n"},
    {Rule::Trailer, "0\r\nx: a\0\r\n\r\n"s, "0\r\nx: a\t\r\n\r\n"},
    {Rule::Trailer, "0\r\nGET / HTTP/1.1\r\n", "0\r\nGET: / HTTP/1.1\r\n\r\n"},
    {Rule::TrailerLong, "0\r\nx: " + std::string(8188, 'a') + "\r\n\r\n",
     "0\r\nx: " + std::string(8187, 'a') + "\r\n\r\n"},
};

TEST(ChunkedBody, RefusesWhatBreaksARuleAndTakesItsNeighbour) {
    for (const Way way : {Way::Decode, Way::Pass, Way::PassData}) {
        for (const BodyCase& tried : kBodyCases) {
            const Outcome bad = chunked(tried.refused, way);
            EXPECT_EQ(bad.state, BodyState::Bad) << tried.refused.substr(0, 100);
            EXPECT_EQ(text_of(bad.rule).id, text_of(tried.rule).id) << tried.refused.substr(0, 100);
            const Outcome good = chunked(tried.accepted + "next", way);
            EXPECT_EQ(good.state, BodyState::Done) << tried.accepted.substr(0, 100);
            EXPECT_EQ(good.consumed, tried.accepted.size()) << tried.accepted.substr(0, 100);
        }
    }
}

TEST(ChunkedBody, GivesOutPayloadOnly) {
    const std::string text = "5\r\nhello\r\n006 ;a=b\r\n world\r\n0;c\r\nx: y\r\n\r\n";
    const Outcome decoded = chunked(text, Way::Decode);
    EXPECT_EQ(decoded.pieces, "hello world");
    EXPECT_EQ(decoded.consumed, text.size());
    EXPECT_FALSE(decoded.is_canonical);
}

// Whoever passes the pieces on never passes on an extension or a trailer.
TEST(ChunkedBody, PassesOnTheCanonicalForm) {
    const std::string text = "5\r\nhello\r\n6 ;a=b\r\n world\r\n0;c\r\nx: y\r\nz: 1\r\n\r\n";
    const Outcome passed = chunked(text, Way::Pass);
    EXPECT_EQ(passed.pieces, "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    EXPECT_EQ(passed.consumed, text.size());
    EXPECT_FALSE(passed.is_canonical);
    const Outcome again = chunked(passed.pieces, Way::Pass);
    EXPECT_EQ(again.pieces, passed.pieces);
    EXPECT_TRUE(again.is_canonical);
}

// Who passes bodies on by position has to know which of the bytes it was.
TEST(ChunkedBody, ConsumesEitherWhatIsPassedOnOrWhatIsLeftOut) {
    const std::string text = "5\r\nhello\r\n6 ;a=b\r\n world\r\n0;c\r\nx: y\r\nz: 1\r\n\r\n";
    const std::vector<std::string> runs = {
        "5\r\nhello\r\n6", " ;a=b", "\r\n world\r\n0", ";c", "\r\n", "x: y\r\nz: 1\r\n", "\r\n"};
    BodyDecoder body(Framing::Chunked, 0);
    std::string_view left = text;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const Fed fed = body.pass(left);
        EXPECT_EQ(left.substr(0, fed.consumed), runs[i]);
        EXPECT_EQ(fed.piece, i % 2 == 0 ? runs[i] : std::string());
        left.remove_prefix(fed.consumed);
    }
    EXPECT_EQ(body.state(), BodyState::Done);
}

// Who reads no chunks gets their data alone, each by itself.
TEST(ChunkedBody, PassesOnPayloadOnlyWhereAllFramingIsLeftOut) {
    const std::string text = "5\r\nhello\r\n6 ;a=b\r\n\r\n0\r\n\r\r\n0;c\r\nx: y\r\n\r\n";
    const std::vector<std::string> runs = {"5\r\n", "hello", "\r\n6 ;a=b\r\n", "\r\n0\r\n\r",
                                           "\r\n0;c\r\nx: y\r\n\r\n"};
    BodyDecoder body = decoder_of(Way::PassData);
    const std::string input = text + "next";
    std::string_view left = input;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const Fed fed = body.pass(left);
        EXPECT_EQ(left.substr(0, fed.consumed), runs[i]);
        EXPECT_EQ(fed.piece, i % 2 == 1 ? runs[i] : std::string());
        left.remove_prefix(fed.consumed);
    }
    EXPECT_EQ(body.state(), BodyState::Done);
    EXPECT_EQ(left, "next");
    EXPECT_EQ(chunked(input, Way::PassData).pieces, chunked(input, Way::Decode).pieces);
}

// A canonical body in one call is one piece: one write.
TEST(ChunkedBody, PassesACanonicalBodyInOnePiece) {
    const std::string text = "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    const std::string input = text + "GET /";
    BodyDecoder body(Framing::Chunked, 0);
    const Fed fed = body.pass(input);
    EXPECT_EQ(fed.piece, text);
    EXPECT_EQ(fed.consumed, text.size());
    EXPECT_EQ(fed.state, BodyState::Done);
    EXPECT_TRUE(body.is_canonical());
}

TEST(Body, GivesTheSameResultHoweverItIsCut) {
    for (const Way way : {Way::Decode, Way::Pass, Way::PassData}) {
        for (const BodyCase& tried : kBodyCases) {
            for (const std::string& text : {tried.refused, tried.accepted + "next"}) {
                if (text.size() > 2000) continue;
                const Outcome whole = chunked(text, way);
                for (std::size_t cut = 0; cut <= text.size(); ++cut) {
                    BodyDecoder body = decoder_of(way);
                    Outcome outcome;
                    feed(body, std::string_view(text).substr(0, cut), way, outcome);
                    feed(body, std::string_view(text).substr(cut), way, outcome);
                    ASSERT_EQ(finish(body, outcome), whole) << text << " cut at " << cut;
                }
            }
        }
    }
}

// The edge dies after any byte; its successor has the record's bytes and the rest of the input.
TEST(Body, IsContinuedByWhoHasItsBytes) {
    const std::string text = "5\r\nhello\r\n6;a=\"\\b\"\r\n world\r\n0\r\nx: y\r\n\r\n";
    const Outcome whole = chunked(text, Way::Decode);
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        BodyDecoder first(Framing::Chunked, 0);
        Outcome outcome;
        feed(first, std::string_view(text).substr(0, cut), Way::Decode, outcome);
        unsigned char record[sizeof(BodyDecoder)];
        std::memcpy(record, &first, sizeof(record));
        BodyDecoder second;
        std::memcpy(static_cast<void*>(&second), record, sizeof(record));
        feed(second, std::string_view(text).substr(cut), Way::Decode, outcome);
        ASSERT_EQ(finish(second, outcome), whole) << cut;
    }
}

TEST(Body, OfALengthEndsThere) {
    for (const Way way : {Way::Decode, Way::Pass}) {
        const Outcome outcome = run(BodyDecoder(Framing::Length, 5), "hello world", way);
        EXPECT_EQ(outcome.pieces, "hello");
        EXPECT_EQ(outcome.consumed, 5U);
        EXPECT_EQ(outcome.state, BodyState::Done);
    }
    EXPECT_EQ(BodyDecoder(Framing::Length, 0).state(), BodyState::Done);
    EXPECT_EQ(BodyDecoder(Framing::None, 7).state(), BodyState::Done);
    EXPECT_EQ(BodyDecoder().decode("abc").consumed, 0U);
}

TEST(Body, ThatEndsTooSoonIsNeverTakenForWhole) {
    BodyDecoder length(Framing::Length, 5);
    length.decode("hell");
    EXPECT_EQ(length.end_of_input(), BodyState::Bad);
    EXPECT_EQ(length.rule(), Rule::BodyShort);
    BodyDecoder chunks(Framing::Chunked, 0);
    chunks.decode("1\r\na\r\n0\r\n");
    EXPECT_EQ(chunks.end_of_input(), BodyState::Bad);
    BodyDecoder whole(Framing::Length, 1);
    whole.decode("a");
    EXPECT_EQ(whole.end_of_input(), BodyState::Done);
}

TEST(Body, UntilCloseEndsWithTheInputOnly) {
    BodyDecoder body(Framing::UntilClose, 0);
    const Fed fed = body.decode("anything\r\n\r\n");
    EXPECT_EQ(fed.piece, "anything\r\n\r\n");
    EXPECT_EQ(fed.state, BodyState::NeedMore);
    EXPECT_EQ(body.end_of_input(), BodyState::Done);
    EXPECT_EQ(body.decode("x").consumed, 0U);
}

}  // namespace
}  // namespace thole::http
