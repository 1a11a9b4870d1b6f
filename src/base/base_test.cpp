// Tests of the small files: results, bytes, random numbers, time.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/random.h"
#include "base/result.h"
#include "base/time.h"

namespace thole {
namespace {

Result<int> half(int number) {
    if (number % 2 != 0) return invalid("odd");
    return number / 2;
}

Result<int> quarter(int number) {
    const int once = TRY(half(number));
    return half(once);
}

TEST(Result, TryPassesTheErrorOn) {
    EXPECT_EQ(quarter(8).value(), 2);
    EXPECT_EQ(quarter(6).error().message, "odd");
    EXPECT_EQ(half(3).value_or(7), 7);
}

TEST(Result, AnErrorTellsWhereAndWhatToTry) {
    const Error error = not_found("no service 'web'").within("thole.yaml:3").with_hint("thole ps");
    EXPECT_EQ(error.text(), "thole.yaml:3: no service 'web'\n  try: thole ps");
}

TEST(Result, ErrnoBecomesWhatTheCallerCanDo) {
    EXPECT_EQ(from_errno(ENOENT, "open x").code, Code::NotFound);
    EXPECT_EQ(from_errno(EACCES, "open x").code, Code::Denied);
    EXPECT_EQ(from_errno(EIO, "open x").code, Code::Unavailable);
    EXPECT_EQ(from_errno(EBADMSG, "open x").code, Code::Corrupt);
    EXPECT_NE(from_errno(ENOENT, "open x").message.find("open x"), std::string::npos);
}

TEST(Crc32c, MatchesThePublishedVectors) {
    EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
    EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);  // RFC 3720 B.4
    EXPECT_EQ(crc32c("6789", crc32c("12345")), crc32c("123456789"));
}

TEST(Bytes, AReaderPastTheEndIsNeverOk) {
    ByteWriter writer;
    writer.u16(7);
    writer.text("ab");
    ByteReader whole(writer.bytes());
    EXPECT_EQ(whole.u16(), 7);
    EXPECT_EQ(whole.text(), "ab");
    EXPECT_TRUE(whole.at_end());
    for (std::size_t cut = 0; cut < writer.bytes().size(); ++cut) {
        ByteReader reader(std::string_view(writer.bytes()).substr(0, cut));
        reader.u16();
        reader.text();
        EXPECT_FALSE(reader.ok()) << cut;
    }
}

TEST(Random, TheSameSeedGivesTheSameNumbersForEver) {
    Random random(1);
    Random again(1);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(random.next(), again.next());
    for (int i = 0; i < 1000; ++i) EXPECT_LT(random.below(7), 7U);
}

TEST(Time, IsWrittenForPeople) {
    using namespace std::chrono_literals;
    EXPECT_EQ(format_wall(wall_from_nanoseconds(0)), "1970-01-01T00:00:00.000Z");
    EXPECT_EQ(format_wall(wall_from_nanoseconds(951827696789000000)), "2000-02-29T12:34:56.789Z");
    EXPECT_EQ(format_duration(340ms), "340 ms");
    EXPECT_EQ(format_duration(185s), "3 min 5 s");
}

}  // namespace
}  // namespace thole
