// Requests as the edge told them, for people: ids, lines of access.log, what the API says.
#include "control/requests.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace thole::control {
namespace {

constexpr std::string_view kId = "00000000000000ff0000000000000001";
constexpr std::string_view kLine =
    R"({"id":"00000000000000ff0000000000000001","time_ms":1790000000123,"begun_ns":1000000,)"
    R"("ended_ns":31000000,"outcome":"overloaded","status":503,"phase":"waiting",)"
    R"("request":"GET /a\"b","why":"no instance of this service became ready in time",)"
    R"("listener":100,"service":1,"release":0,"slot":4294967295,"generation":0,)"
    R"("address":2130706433,"head_us":5,"held_us":30000,"attached_us":0,"connect_us":0,)"
    R"("answer_us":0,"considered":0,"bytes_in":20,"bytes_out":300,"attempts":0,"flags":7,)"
    R"("tries":1,"ended_tries":[{"slot":20,"generation":3,"took_us":200,"end":"refused"}]})";

World shop() {
    World world;
    world.services[1].row.name = "orders";
    world.services[2].row.name = "web";
    world.listeners[100] = {.id = 100, .service = 1, .caller = 2, .port = 8080};
    return world;
}

TEST(RequestId, IsReadInWholeOrByItsFirstDigits) {
    const wire::WhyRequest whole = read_request_id(kId).value();
    EXPECT_EQ(whole.digits, 32U);
    EXPECT_EQ(whole.id.high, 255U);
    EXPECT_EQ(whole.id.low, 1U);
    const wire::WhyRequest part = read_request_id("0000000000000").value();
    EXPECT_TRUE(wire::begins_with({0x7ff, 9}, part));
    EXPECT_FALSE(wire::begins_with({0x8000, 9}, part));
    const wire::WhyRequest longer = read_request_id("00000000000000ff000").value();
    EXPECT_TRUE(wire::begins_with({255, 1}, longer));
    EXPECT_FALSE(wire::begins_with({255, 1ULL << 60}, longer));
    for (const char* bad :
         {"", "0000000", "0000000G", "00000000000000ff00000000000000011", "0000000A"})
        EXPECT_FALSE(read_request_id(bad).ok()) << bad;
}

TEST(AccessLine, IsReadBack) {
    const std::optional<ToldRequest> told = read_access_line(kLine);
    ASSERT_TRUE(told);
    EXPECT_EQ(id_text(told->record.id), kId);
    EXPECT_EQ(format_wall(told->began), "2026-09-21T14:13:20.123Z");
    EXPECT_STREQ(told->record.target, "GET /a\"b");
    EXPECT_EQ(told->record.ended_tries[0].end, wire::TryEnd::Refused);
}

TEST(AccessLine, WhatIsNoneIsLeftOut) {
    for (const char* bad : {"", "{", "{\"dropped\":3}", "{\"id\":7}", "{\"id\":\"00000000\"}"})
        EXPECT_FALSE(read_access_line(bad)) << bad;
    // Numbers of another time, or of nobody's sense.
    const auto told = read_access_line(
        R"({"id":"00000000000000ff0000000000000001","time_ms":-5,"status":70000,"slot":-1,)"
        R"("outcome":"new","phase":"new","ended_tries":[7,{"end":"new"}],"tries":300})");
    ASSERT_TRUE(told);
    EXPECT_EQ(told->record.status, 0U);
    EXPECT_TRUE(requests_json(shop(), {*told}).ok());
}

TEST(AccessLine, IsFoundAmongOthersAndTornOnes) {
    const std::string text = "{\"id\":\"00000000000000ff00\n{\"dropped\":1}\n" +
                             std::string(kLine) + "\n" + std::string(kLine).replace(7, 1, "1") +
                             "\n" + std::string(kLine).substr(0, 99);
    EXPECT_EQ(find_in_access(text, read_request_id(kId).value()).size(), 1U);
    EXPECT_EQ(find_in_access(text, read_request_id("00000000").value()).size(), 1U);
    EXPECT_EQ(find_in_access(text, read_request_id("10000000").value()).size(), 1U);
    EXPECT_EQ(find_in_access(text, read_request_id("22222222").value()).size(), 0U);
}

TEST(Requests, AreToldOnceWhereverTheyStand) {
    const ToldRequest one = *read_access_line(kLine);
    ToldRequest hop = one;
    hop.record.listener = 101;
    std::vector<ToldRequest> told{one};
    add_missing(told, {one, hop});
    EXPECT_EQ(told.size(), 2U);
}

TEST(Requests, AreSaidByNames) {
    const Result<std::string> said = requests_json(shop(), {*read_access_line(kLine)});
    const Json read = parse_json(said.value()).value();
    const Json& request = read.find("requests")->array()->at(0);
    EXPECT_EQ(*request.text_at("service"), "orders");
    EXPECT_EQ(*request.text_at("caller"), "web");
    EXPECT_EQ(*request.integer_at("port"), 8080);
    EXPECT_EQ(*request.text_at("client"), "127.0.0.1");
    EXPECT_EQ(*request.text_at("answered_by"), "thole");
    EXPECT_EQ(*request.text_at("instance"), "");
    EXPECT_EQ(*request.integer_at("total_us"), 30'000);
    const Json& first = request.find("ended_tries")->array()->at(0);
    EXPECT_EQ(*first.text_at("instance"), "orders-20.3");
    EXPECT_EQ(*first.text_at("end"), "refused");
}

TEST(Requests, OfSeveralIdsAreNotGuessedAt) {
    ToldRequest other = *read_access_line(kLine);
    other.record.id.low = 2;
    const Result<std::string> said = requests_json(shop(), {*read_access_line(kLine), other});
    ASSERT_FALSE(said.ok());
    EXPECT_NE(said.error().message.find(kId), std::string::npos);
    EXPECT_EQ(said.error().hint, "thole why " + std::string(kId));
}

}  // namespace
}  // namespace thole::control
