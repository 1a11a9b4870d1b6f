#include "edge/flow.h"

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"

namespace thole::edge {
namespace {

// A head of 40 bytes rewritten to 100, at output position 1000; the body begins at input position
// 540.
Flow sample(Framing framing, std::uint64_t in_end) {
    Flow flow{};
    flow.in_body = 540;
    flow.in_end = in_end;
    flow.in_parsed = 540;
    flow.out_start = 1000;
    flow.head_bytes = 100;
    flow.framing = framing;
    return flow;
}

TEST(Flow, TheOutputsPositionTellsWhatHasBeenPassedOn) {
    const Flow flow = sample(Framing::Length, 840);
    EXPECT_EQ(forwarded(flow, 1000), 540U);
    EXPECT_EQ(forwarded(flow, 1099), 540U);
    EXPECT_EQ(forwarded(flow, 1100), 540U);
    EXPECT_EQ(forwarded(flow, 1101), 541U);
    EXPECT_EQ(head_left(flow, 1000), 100U);
    EXPECT_EQ(head_left(flow, 1099), 1U);
    EXPECT_EQ(head_left(flow, 1200), 0U);
}

// A pipelined request behind the body must not be sent as part of it.
TEST(Flow, NothingBehindTheMessageIsPassedOn) {
    EXPECT_EQ(limit_of(sample(Framing::Length, 840), 2000), 840U);
    EXPECT_EQ(limit_of(sample(Framing::None, 540), 2000), 540U);
    EXPECT_EQ(limit_of(sample(Framing::Length, 840), 700), 700U);
}

// Chunks whose framing has not been checked yet stay here.
TEST(Flow, ChunksArePassedOnAsFarAsTheyWereParsed) {
    Flow flow = sample(Framing::Chunked, kUnknown);
    flow.in_parsed = 600;
    EXPECT_EQ(limit_of(flow, 900), 600U);
    EXPECT_FALSE(is_complete(flow, 1160, 900, Source::Open));
    flow.in_end = 600;
    EXPECT_TRUE(is_complete(flow, 1160, 900, Source::Open));
}

// We end it before its sender does: what comes later is dropped, a few bytes of ours take its
// place.
TEST(Flow, WhatIsEndedByUsEndsWithOurOwnBytes) {
    Flow flow = sample(Framing::Frames, kUnknown);
    flow.in_parsed = 700;  // The next frame's begin: all before it is passed on, nothing after it.
    EXPECT_EQ(limit_of(flow, 650), 650U);
    EXPECT_EQ(limit_of(flow, 900), 700U);
    end_at(flow, 700, Tail::CloseToClient);
    const std::uint64_t at = 1100 + (700 - 540);
    const std::uint64_t size = tail_left(flow, at).size();
    EXPECT_EQ(tail_left(flow, at), std::string_view("\x88\x0c\x03\xe9going away", size));
    EXPECT_EQ(size, 14U);
    EXPECT_EQ(tail_left(flow, 1000).size(), size);
    EXPECT_EQ(tail_left(flow, at + 4), "going away");
    EXPECT_EQ(forwarded(flow, at - 1), 699U);
    EXPECT_EQ(forwarded(flow, at + 4), 700U);
    EXPECT_EQ(wanted_from(flow, at - 1, 900), 699U);
    EXPECT_EQ(wanted_from(flow, at, 900), 900U) << "the rest is read and dropped";
    EXPECT_FALSE(is_complete(flow, at + size - 1, 900, Source::Open));
    EXPECT_TRUE(is_complete(flow, at + size, 900, Source::Open));
    EXPECT_FALSE(is_cut_short(flow, at + size, 900, Source::Ended));
    // A successor finds it the same, however much was dropped; and nothing that cannot be.
    EXPECT_TRUE(holds(flow, at - 1, 699, 65536));
    EXPECT_TRUE(holds(flow, at, 10'000'000, 65536));
    EXPECT_TRUE(holds(flow, at + size, 10'000'000, 65536));
    EXPECT_FALSE(holds(flow, at + size + 1, 10'000'000, 65536));
    EXPECT_FALSE(holds(flow, at - 1, 10'000'000, 65536));
    EXPECT_FALSE(holds(flow, at, 690, 65536));
}

TEST(Flow, AStreamOfChunksThatWeEndIsWhole) {
    Flow flow = sample(Framing::Chunked, kUnknown);
    flow.in_parsed = 640;
    end_at(flow, 640, Tail::LastChunk);
    EXPECT_EQ(tail_left(flow, 1200), "0\r\n\r\n");
    EXPECT_FALSE(is_complete(flow, 1204, 640, Source::Ended));
    EXPECT_TRUE(is_complete(flow, 1205, 640, Source::Open));
    EXPECT_FALSE(ends_with_connection(flow)) << "its client may ask again on this connection";
}

TEST(Flow, IsCompleteExactlyAtItsEnd) {
    const Flow flow = sample(Framing::Length, 840);
    EXPECT_FALSE(is_complete(flow, 1399, 840, Source::Open));
    EXPECT_TRUE(is_complete(flow, 1400, 840, Source::Open));
    const Flow empty = sample(Framing::None, 540);
    EXPECT_FALSE(is_complete(empty, 1099, 540, Source::Open));
    EXPECT_TRUE(is_complete(empty, 1100, 540, Source::Open));
    const Flow endless = sample(Framing::UntilClose, kUnknown);
    EXPECT_FALSE(is_complete(endless, 1400, 840, Source::Open));
    EXPECT_TRUE(is_complete(endless, 1400, 840, Source::Ended));
    EXPECT_FALSE(is_complete(endless, 1399, 840, Source::Ended));
}

TEST(Flow, WhatSaysItsOwnEndNeedsNoEndOfTheConnection) {
    EXPECT_FALSE(ends_with_connection(sample(Framing::Length, 840)));
    EXPECT_TRUE(ends_with_connection(sample(Framing::UntilClose, kUnknown)));
    Flow flow = sample(Framing::Chunked, kUnknown);
    flow.body = http::BodyDecoder(http::Framing::Chunked, 0);
    EXPECT_FALSE(ends_with_connection(flow));
    flow.body.leave_out_framing();
    EXPECT_TRUE(ends_with_connection(flow));
}

TEST(Flow, ASourceThatEndsEarlyIsNoticedOnceAllItSaidHasLeft) {
    const Flow flow = sample(Framing::Length, 840);
    EXPECT_FALSE(is_cut_short(flow, 1200, 700, Source::Ended));
    EXPECT_TRUE(is_cut_short(flow, 1260, 700, Source::Ended));
    EXPECT_FALSE(is_cut_short(flow, 1260, 700, Source::Open));
    EXPECT_FALSE(is_cut_short(flow, 1400, 840, Source::Ended));
}

// Whatever damaged a record, no byte of one client may go to another.
TEST(Flow, PositionsThatCannotBeAreRefused) {
    const Flow flow = sample(Framing::Length, 840);
    EXPECT_TRUE(holds(flow, 1000, 540, 16384));
    EXPECT_TRUE(holds(flow, 1400, 840, 16384));
    EXPECT_FALSE(holds(flow, 999, 540, 16384));
    EXPECT_FALSE(holds(flow, 1000, 539, 16384));
    EXPECT_FALSE(holds(flow, 1401, 840, 16384));
    EXPECT_FALSE(holds(flow, 1000, 540 + 16385, 16384));
    Flow damaged = flow;
    damaged.in_end = 500;
    EXPECT_FALSE(holds(damaged, 1000, 540, 16384));
    Flow chunks = sample(Framing::Chunked, kUnknown);
    chunks.in_parsed = 600;
    chunks.left_out = 61;
    EXPECT_FALSE(holds(chunks, 1000, 600, 16384));
    chunks.left_out = 60;
    EXPECT_TRUE(holds(chunks, 1000, 600, 16384));
}

// Bytes go through in random pieces, with a successor taking over between any two of them: what
// comes out is what went in, because nothing but positions is remembered.
TEST(Flow, RandomPiecesAddUpToTheMessage) {
    Random random(7);
    for (int round = 0; round < 200; ++round) {
        const std::uint64_t size = random.below(5000);
        const Flow flow = sample(size == 0 ? Framing::None : Framing::Length, 540 + size);
        std::uint64_t in = 540;
        std::uint64_t out = 1000;
        std::uint64_t written = 0;
        while (!is_complete(flow, out, in, Source::Open)) {
            ASSERT_TRUE(holds(flow, out, in, 16384));
            in += random.below(size + 1 - (in - 540));
            const std::uint64_t ready =
                head_left(flow, out) + (limit_of(flow, in) - forwarded(flow, out));
            const std::uint64_t piece = random.below(ready + 1);
            out += piece;
            written += piece;
        }
        EXPECT_EQ(written, 100 + size);
    }
}

enum class Leaves { Chunks, Data };

// A chunked body on its way: what has come, what has been written, and the flow between them.
class Passage {
public:
    Passage(std::string body, Leaves leaves, Random& random)
        : text_(std::move(body)), random_(random) {
        flow_ = sample(Framing::Chunked, kUnknown);
        flow_.body = http::BodyDecoder(http::Framing::Chunked, 0);
        if (leaves == Leaves::Data) flow_.body.leave_out_framing();
    }
    // Some bytes come, are parsed in pieces, and some are written; a successor could take over
    // between any two of these.
    void step() {
        in_ += random_.below(540 + text_.size() - in_ + 1);
        std::uint64_t begun = 0;
        do {
            begun = flow_.in_parsed;
            const std::uint64_t until = begun + random_.below(in_ - begun + 1);
            ASSERT_TRUE(advance(flow_, out_, between(begun, until)));
            ASSERT_TRUE(holds(flow_, out_, in_, 1 << 20));
        } while (flow_.in_parsed != begun);
        const std::uint64_t head = head_left(flow_, out_);
        const std::uint64_t from = forwarded(flow_, out_);
        const std::uint64_t ready = head + limit_of(flow_, in_) - from;
        const std::uint64_t size = random_.below(ready + 1);
        if (size > head) written_ += between(from, from + size - head);
        out_ += size;
    }
    bool is_over() const { return is_complete(flow_, out_, in_, Source::Open); }
    const std::string& written() const { return written_; }
    std::uint64_t end() const { return flow_.in_end; }

private:
    std::string_view between(std::uint64_t from, std::uint64_t to) const {
        return std::string_view(text_).substr(from - 540, to - from);
    }

    std::string text_;
    Random& random_;
    Flow flow_;
    std::uint64_t in_ = 540, out_ = 1000;
    std::string written_;
};

// Chunks with and without extensions, a last one, trailers; what of it may be passed on, beside it.
struct Sent {
    std::string whole, passed, data;
};

Sent random_chunks(Random& random) {
    static constexpr std::string_view kExtensions[] = {"", ";a", " ; a=b", ";q=\"\\\";\""};
    Sent sent;
    const auto put_size = [&](std::string_view size) {
        sent.whole.append(size);
        sent.passed.append(size);
        std::string_view extension = kExtensions[random.below(4)];
        sent.whole.append(extension);
        sent.whole += "\r\n";
        sent.passed += "\r\n";
    };
    for (std::uint64_t i = random.below(6); i > 0; --i) {
        static constexpr std::string_view kSizes[] = {"5", "05", "A", "0000b"};
        static constexpr std::string_view kData[] = {"hello", "0\r\n\r\n", "0\r\nx: y\r\n\r",
                                                     "GET / HTTP\n"};
        const std::uint64_t which = random.below(4);
        put_size(kSizes[which]);
        sent.whole.append(kData[which]).append("\r\n");
        sent.passed.append(kData[which]).append("\r\n");
        sent.data.append(kData[which]);
    }
    put_size(random.below(2) == 0 ? "0" : "00");
    if (random.below(2) == 0) sent.whole += "X-Sum: 1\r\nContent-Length: 7\r\n";
    sent.whole += "\r\n";
    sent.passed += "\r\n";
    return sent;
}

// However a body is cut on its way in and out, it leaves without its extensions and trailers, or
// as its data alone, and no byte of what follows it leaves with it.
TEST(Flow, ChunksLeaveWithoutWhatIsLeftOutHoweverTheyCome) {
    Random random(11);
    for (int round = 0; round < 3000; ++round) {
        const Sent sent = random_chunks(random);
        for (const Leaves leaves : {Leaves::Chunks, Leaves::Data}) {
            Passage passage(sent.whole + "GET /next HTTP/1.1\r\n", leaves, random);
            for (int steps = 0; steps < 10'000 && !passage.is_over(); ++steps) passage.step();
            ASSERT_EQ(passage.written(), leaves == Leaves::Data ? sent.data : sent.passed)
                << testing::PrintToString(sent.whole);
            ASSERT_EQ(passage.end(), 540 + sent.whole.size());
        }
    }
}

TEST(Flow, ChunksThatAreBrokenAreRefusedBehindWhatIsLeftOut) {
    Flow flow = sample(Framing::Chunked, kUnknown);
    flow.body = http::BodyDecoder(http::Framing::Chunked, 0);
    const std::string text = "3;x=y\r\nabc";
    ASSERT_TRUE(advance(flow, 1100, text));
    EXPECT_EQ(limit_of(flow, 900), 541U);
    ASSERT_TRUE(advance(flow, 1101, text.substr(flow.in_parsed - 540)));
    EXPECT_EQ(flow.in_parsed, 540 + text.size());
    EXPECT_FALSE(advance(flow, 1106, "\n0\r\n\r\n"));
}

TEST(Commit, ADeathBeforeItsLastStoreLeavesTheOldExchangeWhole) {
    Record record{};
    ExchangePair pair{};
    const ExchangeAt at{record, pair};
    commit(at, [](Exchange& next) { next.attempts = 1; });
    // As if killed in the middle of the next change: the other half is written, the word is not.
    pair.halves[(commits_of(record) + 1) & 1].attempts = 99;
    EXPECT_EQ(current(at).attempts, 1U);
    commit(at, [](Exchange& next) {
        EXPECT_EQ(next.attempts, 1U);
        next.attempts = 2;
    });
    EXPECT_EQ(current(at).attempts, 2U);
}

TEST(Commit, TheNextExchangeBeginsWhereTheRequestBeforeEnded) {
    Record record{};
    ExchangePair pair{}, other{};
    record.state = state_of(0, kNoBlock);
    record.listener = 7;
    EXPECT_FALSE(has_exchange(record));
    begin_exchange(record, pair, 3, 1000);
    EXPECT_EQ(block_of(record), 3U);
    EXPECT_EQ(current({record, pair}).listener, 7U);
    commit({record, pair}, [](Exchange& next) {
        next.flags = kCounted;
        next.request.in_end = 250;
    });
    const std::uint64_t commits = commits_of(record);
    end_exchange({record, pair});
    EXPECT_FALSE(has_exchange(record));
    EXPECT_EQ(commits_of(record), commits + 1);
    begin_exchange(record, other, 4, 2000);
    EXPECT_EQ(current({record, other}).in_start, 250U);
    EXPECT_EQ(current({record, other}).flags, 0U);
}

}  // namespace
}  // namespace thole::edge
