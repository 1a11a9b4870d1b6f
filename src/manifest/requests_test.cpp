// The key `requests`: words that nobody meant are findings and never values.
#include "manifest/requests.h"

#include <gtest/gtest.h>

#include "manifest/reading_test.h"

namespace thole::manifest {

namespace {

TEST(ReadRequests, ReadsWhatPasses) {
    const model::RequestsSpec wanted{
        .reports_rules = true, .keeps_encoded_slash = true, .upgrades = {"websocket", "tus/1.0"}};
    EXPECT_EQ(good_service("requests: {check: report, encoded-slash: keep, "
                           "upgrade: [WebSocket, tus/1.0]}")
                  .requests,
              wanted);
    EXPECT_TRUE(good_service("requests: {upgrade: []}").requests.upgrades.empty());
}

TEST(ReadRequests, IsStrictWhereNothingIsSaid) {
    const model::RequestsSpec usual;
    EXPECT_EQ(good_service("").requests, usual);
    EXPECT_EQ(good_service("requests: {check: refuse, encoded-slash: refuse}").requests, usual);
    EXPECT_FALSE(usual.reports_rules || usual.keeps_encoded_slash);
    EXPECT_EQ(usual.upgrades, std::vector<std::string>{"websocket"});
}

TEST(ReadRequests, RefusesWordsThatAreNone) {
    expect_wrong(
        {{"requests: {check: off}", "5:23: 'check' must be refuse or report | check: report"},
         {"requests: {encoded-slash: decode}",
          "5:31: 'encoded-slash' must be refuse or keep | encoded-slash: keep"},
         {"requests: {upgrade: websocket}",
          "5:25: 'upgrade' must be a list of protocols, not a text"},
         {"requests: {upgrade: [h2c]}",
          "5:26: HTTP/2 is not spoken by an upgrade (RFC 9113 section 3.1) | remove it"},
         {"requests: {upgrade: [\"a b\"]}",
          "5:26: 'a b' is not a name of a protocol | upgrade: [websocket]"},
         {"requests: {upgrade: [echo, Echo]}", "5:32: 'echo' stands here twice | remove one"},
         {"requests: {upgrade: [aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd, eeeeeeeeeeffffffffff]}",
          "5:25: 'upgrade' has more than 59 characters in all"}});
}

}  // namespace

}  // namespace thole::manifest
