// Lines of access.log: what is worth one, that files stay within their bounds, and that a disk that
// takes no more leaves whole lines.
#include "edge/access_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/defaults.h"

namespace thole::edge {
namespace {

using wire::Outcome;

wire::RequestRecord request(std::uint64_t id, Outcome outcome) {
    wire::RequestRecord record{};
    record.id = {id, 1};
    record.begun = 1'000'000;
    record.ended = 2'000'000;
    record.outcome = static_cast<std::uint8_t>(outcome);
    std::snprintf(record.target, sizeof(record.target), "GET /a\"b?token=secret");
    return record;
}

class AccessFileTest : public testing::Test {
protected:
    AccessFileTest() { EXPECT_NE(::mkdtemp(folder_), nullptr); }
    ~AccessFileTest() override {
        for (const char* name : {"/access.log", "/access.log.1"})
            ::unlink((folder_ + std::string(name)).c_str());
        ::rmdir(folder_);
    }
    std::string text_of(const std::string& name) const {
        std::ifstream file(folder_ + ("/" + name));
        std::stringstream text;
        text << file.rdbuf();
        return text.str();
    }
    char folder_[64] = "/tmp/thole-access-XXXXXX";
};

TEST(Worth, ErrorsAndSlowOnesAreAlwaysKept) {
    for (const Outcome outcome : {Outcome::ClientError, Outcome::Reset, Outcome::Cut})
        EXPECT_EQ(worth_of(request(1, outcome)), Worth::Always);
    wire::RequestRecord slow = request(1, Outcome::Success);
    slow.ended = slow.begun + model::kAccessSlow.count() + 1;
    EXPECT_EQ(worth_of(slow), Worth::Always);
    slow.phase = wire::RequestPhase::Tunnel;  // It lasts because it is one.
    EXPECT_NE(worth_of(slow), Worth::Always);
}

TEST(Worth, OfTheRestAShareByTheIdAlone) {
    std::uint32_t kept = 0;
    for (std::uint64_t id = 0; id < 100'000; ++id) {
        const Worth worth = worth_of(request(id * 7919, Outcome::Success));
        wire::RequestRecord hop = request(id * 7919, Outcome::Redirect);
        hop.listener = 9;
        EXPECT_EQ(worth_of(hop), worth);
        if (worth == Worth::Sample) ++kept;
    }
    EXPECT_NEAR(kept, 100'000.0 / model::kAccessSampleOneIn, 200);
}

TEST_F(AccessFileTest, ALineIsJsonWithoutTheQuery) {
    AccessFile file(folder_);
    const std::vector<wire::RequestRecord> records{request(255, Outcome::Reset)};
    EXPECT_EQ(file.append(records, 0), 1U);
    const std::string text = text_of("access.log");
    const Result<Json> line = parse_json(text);
    ASSERT_TRUE(line.ok()) << text;
    EXPECT_EQ(*line->text_at("id"), "00000000000000ff0000000000000001");
    EXPECT_EQ(*line->text_at("outcome"), "reset");
    EXPECT_EQ(*line->text_at("request"), "GET /a\"b");
    EXPECT_EQ(*line->integer_at("ended_ns"), 2'000'000);
}

// All that there can be, with every byte as an escape.
TEST_F(AccessFileTest, TheLongestLineFits) {
    wire::RequestRecord record;
    std::fill_n(reinterpret_cast<unsigned char*>(&record), sizeof(record), 0xff);
    char line[kAccessLineBytes];
    const std::size_t size = write_line(record, 0, line);
    EXPECT_LT(size, kAccessLineBytes);
    EXPECT_TRUE(parse_json({line, size - 1}).ok()) << std::string(line, size);
}

TEST_F(AccessFileTest, AFullFileGivesItsPlaceToTheNextAndTwoAreKept) {
    AccessFile file(folder_);
    const std::vector<wire::RequestRecord> many(4096, request(1, Outcome::Reset));
    std::size_t lines = 0;
    for (int i = 0; i < 40; ++i) lines += file.append(many, 0);
    EXPECT_EQ(lines, 40 * many.size());
    const std::string now = text_of("access.log"), before = text_of("access.log.1");
    EXPECT_LE(now.size(), model::kAccessFileBytes);
    EXPECT_LE(before.size(), model::kAccessFileBytes);
    EXPECT_GT(before.size(), model::kAccessFileBytes - kAccessLineBytes);
    EXPECT_EQ(now.back(), '\n');
    EXPECT_EQ(before.back(), '\n');
}

// A limit on a file's size is a disk that takes no more.
TEST_F(AccessFileTest, WhereTheDiskTakesNoMoreWholeLinesStandAndErrorsComeFirst) {
    AccessFile file(folder_);
    std::vector<wire::RequestRecord> records;
    std::uint64_t sampled = 0;
    while (worth_of(request(sampled, Outcome::Success)) != Worth::Sample) ++sampled;
    for (int i = 0; i < 10; ++i) {
        records.push_back(request(sampled, Outcome::Success));
        records.push_back(request(7, Outcome::Reset));
    }
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{6000, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
    const std::size_t kept = file.append(records, 0);
    ::setrlimit(RLIMIT_FSIZE, &before);
    const std::string text = text_of("access.log");
    EXPECT_EQ(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')), kept);
    EXPECT_GT(kept, 10U);
    EXPECT_LT(kept, records.size());
    EXPECT_EQ(text.back(), '\n');
    EXPECT_GT(text.find("\"success\""), text.rfind("\"reset\""));
    // It goes on, and says what is missing.
    EXPECT_EQ(file.append(records, records.size() - kept), records.size());
    EXPECT_NE(text_of("access.log").find("{\"dropped\":"), std::string::npos);
}

TEST_F(AccessFileTest, ALineThatWasTornEndsWhereItWasTorn) {
    std::ofstream(folder_ + std::string("/access.log")) << "{\"id\":";
    AccessFile file(folder_);
    const std::vector<wire::RequestRecord> records{request(1, Outcome::Reset)};
    EXPECT_EQ(file.append(records, 0), 1U);
    EXPECT_EQ(text_of("access.log").rfind("{\"id\":\n{\"id\":\"", 0), 0U);
}

}  // namespace
}  // namespace thole::edge
