// Spools as keeper and services leave them: written, punched, truncated, flooded and full of
// garbage.
#include "control/logs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>

#include "base/json.h"
#include "base/random.h"
#include "os/fd.h"
#include "os/linux_env.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::size_t kLimit = 256 * 1024;

Time at(Duration since_start) { return Time(1000s) + since_start; }

// Lines as a reader sees them: "text", or "<7 lost>", or "<7 lost, truncated>".
std::vector<std::string> shown(const std::vector<LogLine>& lines) {
    std::vector<std::string> texts;
    for (const LogLine& line : lines) {
        const std::string lost = "<" + std::to_string(line.lost_bytes) + " lost";
        texts.push_back(line.is_text() ? line.text
                                       : lost + (line.was_truncated ? ", truncated>" : ">"));
    }
    return texts;
}

using Texts = std::vector<std::string>;

class LogsTest : public testing::Test {
protected:
    LogsTest() : linux_(loop_) {
        char name[] = "/tmp/thole-logs-test-XXXXXX";
        folder_ = mkdtemp(name);
        source_ = {"web", "web-3.1", folder_ + "/3.out", folder_ + "/3.err", {0, 0}};
    }
    ~LogsTest() override {
        const std::string command = "rm -rf " + folder_;
        EXPECT_EQ(system(command.c_str()), 0);
    }
    std::unique_ptr<env::File> spool() {
        Result<std::unique_ptr<env::File>> file =
            linux_.env().files.open(source_.path_out, env::OpenMode::Create);
        EXPECT_TRUE(file.ok());
        return std::move(file).value();
    }
    void append(std::string_view bytes) {
        const std::unique_ptr<env::File> file = spool();
        ASSERT_TRUE(file->write_at(file->size().value(), bytes).ok());
    }
    void truncate(std::uint64_t size) { ASSERT_TRUE(spool()->truncate(size).ok()); }
    // As keeper does it.
    void punch(std::uint64_t end) {
        const os::FileDescriptor file(::open(source_.path_out.c_str(), O_WRONLY | O_CLOEXEC));
        ASSERT_EQ(::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                              static_cast<off_t>(end)),
                  0);
    }
    SpoolTail tail() { return SpoolTail(linux_.env().files, source_, LogStream::Out); }
    static Texts last(SpoolTail& tail, std::size_t lines_max) {
        const Result<std::vector<LogLine>> lines = tail.last_lines(lines_max);
        EXPECT_TRUE(lines.ok());
        return lines.ok() ? shown(*lines) : Texts();
    }
    static Texts next(SpoolTail& tail, Duration now = 0s, std::size_t limit = kLimit) {
        const Result<std::vector<LogLine>> lines = tail.read_new(limit, at(now));
        EXPECT_TRUE(lines.ok());
        return lines.ok() ? shown(*lines) : Texts();
    }

    os::Loop loop_;
    os::LinuxEnv linux_;
    std::string folder_;
    SpoolSource source_;
};

std::vector<LogLine> split(LineSplitter& splitter, std::string_view bytes) {
    std::vector<LogLine> lines;
    EXPECT_EQ(splitter.take(bytes, lines), bytes.size());
    return lines;
}

TEST(LineSplitter, LinesAreTheSameHoweverTheirBytesArrive) {
    const std::string bytes = "one\n\ntwo\0x\n"s + std::string(5000, '\0') + "three\n" +
                              std::string(20'000, 'y') + "\nrest";
    LineSplitter whole;
    const std::vector<LogLine> expected = split(whole, bytes);
    EXPECT_EQ(expected.size(), 7U);
    for (std::size_t size : {1U, 2U, 7U, 4095U, 4096U, 16384U}) {
        LineSplitter pieces;
        std::vector<LogLine> lines;
        for (std::size_t from = 0; from < bytes.size(); from += size)
            EXPECT_GT(pieces.take(std::string_view(bytes).substr(from, size), lines), 0U);
        EXPECT_EQ(lines, expected) << size;
        pieces.cut(lines);
        EXPECT_EQ(lines.back().text, "rest");
    }
}

TEST(LineSplitter, ALineThatIsTooLongComesInPieces) {
    LineSplitter splitter;
    const std::vector<LogLine> fits = split(splitter, std::string(kLogLineBytesMax, 'x') + "\n");
    ASSERT_EQ(fits.size(), 1U);
    const std::vector<LogLine> longer =
        split(splitter, std::string(3 * kLogLineBytesMax + 1, 'x') + "\n\n");
    ASSERT_EQ(longer.size(), 5U);
    for (int piece = 0; piece < 3; ++piece) EXPECT_EQ(longer[0].text.size(), kLogLineBytesMax);
    EXPECT_EQ(longer[3].text, "x");
    EXPECT_EQ(longer[4].text, "");
}

// Else a log in Chinese or with emoji shows a question mark every 16 KiB.
TEST(LineSplitter, APieceDoesNotEndInsideACharacter) {
    for (const std::string& character : {"\xc3\xa4"s, "\xe2\x82\xac"s, "\xf0\x9f\x98\x80"s}) {
        for (std::size_t shift = 0; shift < 4; ++shift) {
            std::string text(shift, 'x');
            while (text.size() < 2 * kLogLineBytesMax) text += character;
            LineSplitter splitter;
            std::string back;
            for (const LogLine& line : split(splitter, text + "\n")) {
                EXPECT_EQ((line.text.size() - (back.empty() ? shift : 0)) % character.size(), 0U);
                EXPECT_LE(line.text.size(), kLogLineBytesMax);
                back += line.text;
            }
            EXPECT_EQ(back, text);
        }
    }
    LineSplitter garbage;
    EXPECT_EQ(split(garbage, std::string(kLogLineBytesMax + 1, '\x80') + "\n").size(), 2U);
}

TEST(LineSplitter, AHoleIsCountedAndAFewNulsAreWhatTheServiceSaid) {
    LineSplitter splitter;
    EXPECT_EQ(shown(split(splitter, "a\0\0b\n"s)), Texts{"a\0\0b"s});
    EXPECT_EQ(shown(split(splitter, std::string(4095, '\0') + "\n")),
              Texts{std::string(4095, '\0')});
    EXPECT_EQ(shown(split(splitter, "half" + std::string(4096, '\0') + "other half\n")),
              (Texts{"half", "<4096 lost>", "other half"}));
    EXPECT_EQ(shown(split(splitter, std::string(10'000, '\0') + "\n")),
              (Texts{"<10000 lost>", ""}));
}

TEST(LineSplitter, OneCallGivesOnlySoManyLines) {
    LineSplitter splitter;
    const std::string bytes(3 * kLogLinesMax, '\n');
    std::vector<LogLine> lines;
    EXPECT_EQ(splitter.take(bytes, lines), kLogLinesMax);
    EXPECT_EQ(splitter.take(bytes, lines), 0U);
    EXPECT_EQ(lines.size(), kLogLinesMax);
}

// Whatever comes: each byte is in a line, is a line end, or is counted as lost.
TEST(LineSplitter, NoByteVanishesUncounted) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        Random random(seed);
        LineSplitter splitter;
        std::vector<LogLine> lines;
        std::uint64_t given = 0;
        std::uint64_t ends = 0;
        for (int piece = 0; piece < 30; ++piece) {
            const char kinds[] = {'\0', '\n', 'x', '\x80', '\xff'};
            std::string bytes(random.below(6000), kinds[random.below(5)]);
            if (bytes.size() > 100 && bytes[0] == '\n') bytes.resize(100);
            given += bytes.size();
            ends += static_cast<std::uint64_t>(std::count(bytes.begin(), bytes.end(), '\n'));
            ASSERT_EQ(splitter.take(bytes, lines), bytes.size());
        }
        splitter.tell_lost(lines);
        splitter.cut(lines);
        std::uint64_t found = ends;
        for (const LogLine& line : lines) {
            found += line.text.size() + line.lost_bytes;
            // A few NULs may follow what was full already.
            EXPECT_LE(line.text.size(), kLogLineBytesMax + kLogHoleBytesMin) << seed;
        }
        EXPECT_EQ(found, given) << seed;
    }
}

TEST_F(LogsTest, ASpoolThatIsNotThereYetIsEmptyAndIsReadOnceItIs) {
    SpoolTail tail = this->tail();
    EXPECT_EQ(last(tail, 10), Texts());
    EXPECT_EQ(next(tail), Texts());
    append("one\n");
    EXPECT_EQ(next(tail), Texts{"one"});
    EXPECT_EQ(next(tail), Texts());
}

TEST_F(LogsTest, TheLastLinesAreShownAndNoneTwice) {
    append("one\ntwo\n\nthree\n");
    const std::vector<Texts> expected = {
        {}, {"three"}, {"", "three"}, {"two", "", "three"}, {"one", "two", "", "three"}};
    for (std::size_t count = 0; count < expected.size(); ++count) {
        SpoolTail tail = this->tail();
        EXPECT_EQ(last(tail, count), expected[count]);
        EXPECT_EQ(next(tail), Texts());
    }
    SpoolTail tail = this->tail();
    EXPECT_EQ(last(tail, 1000), expected[4]);
    append("four\n");
    EXPECT_EQ(next(tail), Texts{"four"});
}

TEST_F(LogsTest, LastLinesAreFoundAcrossBlocks) {
    std::string bytes;
    for (int number = 0; number < 20'000; ++number) bytes += std::to_string(number) + "\n";
    append(bytes);
    SpoolTail tail = this->tail();
    const Texts lines = last(tail, 5000);
    ASSERT_EQ(lines.size(), kLogLinesMax);
    EXPECT_EQ(lines.front(), std::to_string(20'000 - kLogLinesMax));
    EXPECT_EQ(lines.back(), "19999");
    EXPECT_FALSE(tail.is_behind());
}

TEST_F(LogsTest, LastLinesAreNotSoughtFurtherThanAMebibyteBack) {
    append("far away\n" + std::string(kMiB, 'x') + "\nlast\n");
    SpoolTail two = tail();
    EXPECT_EQ(last(two, 2), Texts{"last"});
    // Nothing but a part of one line is in reach: that is still better than nothing.
    append(std::string(2 * kMiB, 'y') + "\n");
    SpoolTail one = tail();
    const Texts pieces = last(one, 3);
    ASSERT_EQ(pieces.size(), 3U);
    EXPECT_EQ(pieces[0], std::string(kLogLineBytesMax, 'y'));
    EXPECT_EQ(next(one), Texts());
}

// A prompt, or the last words of a crash, have no line end; a line that is being written has none
// yet.
TEST_F(LogsTest, AnUnfinishedLineIsShownOnceItHasStoodForASecond) {
    append("done\nhal");
    SpoolTail tail = this->tail();
    EXPECT_EQ(last(tail, 10), Texts{"done"});
    EXPECT_EQ(next(tail, 0ms), Texts());
    append("f");
    EXPECT_EQ(next(tail, 999ms), Texts());
    EXPECT_EQ(next(tail, 1000ms), Texts{"half"});
    EXPECT_EQ(next(tail, 5000ms), Texts());
    append("\n");
    EXPECT_EQ(next(tail, 5000ms), Texts());
    append("whole\nname: ");
    EXPECT_EQ(next(tail, 6000ms), Texts{"whole"});
    EXPECT_EQ(next(tail, 6999ms), Texts());
    EXPECT_EQ(next(tail, 7000ms), Texts{"name: "});
    append("x\n\n");
    EXPECT_EQ(next(tail, 7000ms), (Texts{"x", ""}));
    // Each line has a second of its own, also where another ended just now.
    append("a");
    EXPECT_EQ(next(tail, 8000ms), Texts());
    append("\nb");
    EXPECT_EQ(next(tail, 8900ms), Texts{"a"});
    EXPECT_EQ(next(tail, 9100ms), Texts());
    EXPECT_EQ(next(tail, 9900ms), Texts{"b"});
}

TEST_F(LogsTest, WhoDoesNotWaitTakesTheUnfinishedLineAsItIs) {
    append("done\nlast words");
    SpoolTail tail = this->tail();
    EXPECT_EQ(last(tail, 10), Texts{"done"});
    EXPECT_EQ(shown(tail.take_unfinished()), Texts{"last words"});
    EXPECT_EQ(shown(tail.take_unfinished()), Texts());
}

TEST_F(LogsTest, ATruncatedSpoolIsToldAndReadFromItsStart) {
    append("one\ntwo\nhal");
    SpoolTail tail = this->tail();
    EXPECT_EQ(last(tail, 1), Texts{"two"});
    truncate(0);
    append("new\n");
    EXPECT_EQ(next(tail), (Texts{"hal", "<0 lost, truncated>", "new"}));
    // What was seen to be there and was not read is counted.
    append(std::string(1000, 'x') + "\n");
    EXPECT_EQ(next(tail, 0s, 100), Texts());
    EXPECT_TRUE(tail.is_behind());
    truncate(0);
    EXPECT_EQ(next(tail), (Texts{std::string(100, 'x'), "<901 lost, truncated>"}));
    append("again\n");
    EXPECT_EQ(next(tail), Texts{"again"});
}

TEST_F(LogsTest, AMarkBehindTheEndIsATruncatedSpool) {
    append("one\n");
    SpoolTail tail = this->tail();
    tail.start_at(1000);
    EXPECT_EQ(next(tail), (Texts{"<0 lost, truncated>", "one"}));
}

TEST_F(LogsTest, WhatKeeperDroppedAtTheFrontIsCountedAndNotRead) {
    append(std::string(8191, 'x') + "\n" + std::string(4092, 'y') + "\nz\n");
    punch(8192);
    source_.dropped[0] = 8192;
    const Texts kept = {"<8192 lost>", std::string(4092, 'y'), "z"};
    SpoolTail all = tail();
    EXPECT_EQ(last(all, 10), kept);
    SpoolTail few = tail();
    EXPECT_EQ(last(few, 1), Texts{"z"});
    SpoolTail from_mark = tail();
    from_mark.start_at(100);
    EXPECT_EQ(next(from_mark), (Texts{"<8092 lost>", kept[1], "z"}));
    // keeper's count is a moment old: the hole is found all the same.
    source_.dropped[0] = 0;
    SpoolTail untold = tail();
    untold.start_at(0);
    EXPECT_EQ(next(untold), kept);
}

// keeper counts what it dropped for the spool's whole life, also of what was truncated since.
TEST_F(LogsTest, ACountFromBeforeATruncationHidesNothing) {
    append("one\ntwo\n");
    for (const std::uint64_t dropped : {4U, 8U, 1000U}) {
        source_.dropped[0] = dropped;
        SpoolTail tail = this->tail();
        EXPECT_EQ(last(tail, 10), (Texts{"one", "two"})) << dropped;
    }
}

TEST_F(LogsTest, AHoleThatComesWhileReadingIsCounted) {
    append("begin\nhalf a ");
    SpoolTail tail = this->tail();
    EXPECT_EQ(last(tail, 1), Texts{"begin"});
    append("line" + std::string(20'000, 'x') + "\n" + "end\n");
    punch(16'384);
    const Texts lines = next(tail);
    ASSERT_EQ(lines.size(), 4U);
    EXPECT_EQ(lines[0], "half a ");
    EXPECT_EQ(lines[1], "<16371 lost>");
    EXPECT_EQ(lines[3], "end");
}

// A service that floods its output must cost neither memory nor the lines that come after.
TEST_F(LogsTest, AReaderThatIsTooSlowJumpsAndIsToldWhatItMissed) {
    append("one\n");
    SpoolTail tail = this->tail();
    EXPECT_EQ(last(tail, 1), Texts{"one"});
    truncate(4 + kLogBehindBytesMax + 1);  // Grows by a hole: quicker than writing so much.
    append("\nend\n");
    const std::uint64_t end = 4 + kLogBehindBytesMax + 6;
    Texts lines = next(tail);
    ASSERT_FALSE(lines.empty());
    EXPECT_EQ(lines[0], "<" + std::to_string(end - kLogJumpBytes - 4) + " lost>");
    while (tail.is_behind()) lines = next(tail);
    EXPECT_EQ(lines.back(), "end");
}

TEST_F(LogsTest, WhatWasThereAtTheStartIsReadWholeHoweverMuchItIs) {
    const std::string line = std::string(99, 'x').append(1, '\n');
    std::string bytes;
    for (int number = 0; number < 90'000; ++number) bytes += line;
    ASSERT_GT(bytes.size(), kLogBehindBytesMax);
    append(bytes);
    SpoolTail tail = this->tail();
    tail.start_at(0);
    std::size_t count = 0;
    do {
        const Texts lines = next(tail);
        EXPECT_LE(lines.size() * 100, kLimit + 100);
        count += lines.size();
    } while (tail.is_behind());
    EXPECT_EQ(count, 90'000U);
}

TEST_F(LogsTest, OneCallReadsNoMoreThanItsLimit) {
    append(std::string(1000, '\n'));
    SpoolTail tail = this->tail();
    tail.start_at(0);
    EXPECT_EQ(next(tail, 0s, 10).size(), 10U);
    EXPECT_TRUE(tail.is_behind());
    append(std::string(2 * kLogLinesMax, '\n'));
    EXPECT_EQ(next(tail, 0s, kMiB).size(), kLogLinesMax);
    EXPECT_TRUE(tail.is_behind());
}

TEST_F(LogsTest, TheStreamsAreReadApart) {
    append("to out\n");
    std::swap(source_.path_out, source_.path_err);
    append("to err\n");
    std::swap(source_.path_out, source_.path_err);
    SpoolTail errors(linux_.env().files, source_, LogStream::Err);
    EXPECT_EQ(last(errors, 10), Texts{"to err"});
}

TEST_F(LogsTest, ASpoolThatCannotBeReadIsAnErrorThatNamesIt) {
    ASSERT_TRUE(linux_.env().files.make_folder(source_.path_out, 0700).ok());
    SpoolTail lines = tail();
    const Result<std::vector<LogLine>> last = lines.last_lines(10);
    ASSERT_FALSE(last.ok());
    EXPECT_NE(last.error().message.find(source_.path_out), std::string::npos);
    SpoolTail news = tail();
    EXPECT_FALSE(news.read_new(kLimit, at(0s)).ok());
}

TEST_F(LogsTest, AnyBytesBecomeOneLineOfValidJson) {
    std::string garbage;
    for (int byte = 0; byte < 256; ++byte) garbage += static_cast<char>(byte);
    for (const LogLine& line :
         {LogLine{.text = garbage}, LogLine{.text = ""}, LogLine{.text = "\"\\\xff\xc3"}}) {
        const std::string json = log_line_json(source_, LogStream::Err, line);
        EXPECT_EQ(json.find('\n'), std::string::npos);
        const Result<Json> read = parse_json(json);
        ASSERT_TRUE(read.ok()) << json;
        EXPECT_EQ(read->text_at("stream").value(), "err");
        EXPECT_TRUE(read->text_at("text").ok());
    }
}

TEST_F(LogsTest, TheApisLinesAreAsItsPageSays) {
    EXPECT_EQ(log_line_json(source_, LogStream::Out, {.text = "hello"}),
              R"({"service":"web","instance":"web-3.1","stream":"out","text":"hello"})");
    EXPECT_EQ(log_line_json(source_, LogStream::Err, {.lost_bytes = 65536}),
              R"({"service":"web","instance":"web-3.1","stream":"err","lost_bytes":65536})");
    EXPECT_EQ(
        log_line_json(source_, LogStream::Err, {.was_truncated = true}),
        R"({"service":"web","instance":"web-3.1","stream":"err","lost_bytes":0,"truncated":true})");
}

TEST(SpoolMarks, ATimeLeadsToTheEndOfTheSpoolThen) {
    SpoolMarks marks;
    EXPECT_EQ(marks.offset_at(at(0s)), 0U);
    marks.observe(at(10s), 100);
    marks.observe(at(11s), 200);
    for (int second = 12; second < 50; ++second) marks.observe(at(second * 1s), 200);
    marks.observe(at(50s), 300);
    EXPECT_EQ(marks.count(), 3U);
    EXPECT_EQ(marks.offset_at(at(9s)), 0U);
    EXPECT_EQ(marks.offset_at(at(10s)), 100U);
    EXPECT_EQ(marks.offset_at(at(10'999ms)), 100U);
    EXPECT_EQ(marks.offset_at(at(49s)), 200U);
    EXPECT_EQ(marks.offset_at(at(3600s)), 300U);
}

// Observed at every turn of a loop, it must not grow with the turns.
TEST(SpoolMarks, ThereIsAtMostOneASecond) {
    SpoolMarks marks;
    for (int turn = 0; turn <= 1000; ++turn)
        marks.observe(at(turn * 10ms), static_cast<std::uint64_t>(turn) + 1);
    EXPECT_EQ(marks.count(), 11U);
    EXPECT_EQ(marks.offset_at(at(10s)), 1001U);
}

TEST(SpoolMarks, OldTimesBecomeCoarserAndAreNotForgotten) {
    SpoolMarks marks;
    constexpr int kSeconds = 100'000;
    for (int second = 0; second < kSeconds; ++second)
        marks.observe(at(second * 1s), 10 * static_cast<std::uint64_t>(second));
    EXPECT_LE(marks.count(), 4096U);
    EXPECT_EQ(marks.offset_at(at(0s)), 0U);
    for (int second = 1; second < kSeconds; second += 97) {
        const std::uint64_t offset = marks.offset_at(at(second * 1s));
        EXPECT_LE(offset, 10 * static_cast<std::uint64_t>(second));  // Never hides what is newer.
        // Within a hundredth part of how long ago it is, and two seconds.
        const std::uint64_t ago = static_cast<std::uint64_t>(kSeconds - second);
        EXPECT_GE(offset + 10 * (ago / 100 + 2), 10 * static_cast<std::uint64_t>(second)) << second;
    }
    EXPECT_EQ(marks.offset_at(at((kSeconds - 100) * 1s)), 10U * (kSeconds - 100));
}

TEST(SpoolMarks, AfterATruncationOffsetsBeginAnew) {
    SpoolMarks marks;
    marks.observe(at(1s), 1000);
    marks.observe(at(2s), 10);
    EXPECT_EQ(marks.offset_at(at(1s)), 0U);
    EXPECT_EQ(marks.offset_at(at(2s)), 0U);
    marks.observe(at(3s), 20);
    EXPECT_EQ(marks.offset_at(at(3s)), 20U);
}

}  // namespace
}  // namespace thole::control
