#include "edge/flow.h"

#include <gtest/gtest.h>

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

TEST(Commit, ADeathBeforeItsLastStoreLeavesTheOldExchangeWhole) {
    Record record{};
    commit(record, [](Exchange& next) { next.attempts = 1; });
    // As if killed in the middle of the next change: the other half is written, the word is not.
    record.halves[(record.commit + 1) & 1].attempts = 99;
    EXPECT_EQ(current(record).attempts, 1U);
    commit(record, [](Exchange& next) {
        EXPECT_EQ(next.attempts, 1U);
        next.attempts = 2;
    });
    EXPECT_EQ(current(record).attempts, 2U);
}

}  // namespace
}  // namespace thole::edge
