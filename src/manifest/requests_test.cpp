// The key `requests`: limits that are none, or that nobody meant, are findings and never values.
#include "manifest/requests.h"

#include <gtest/gtest.h>

#include <chrono>

#include "manifest/reading_test.h"

namespace thole::manifest {

namespace {

using namespace std::chrono_literals;

TEST(ReadRequests, ReadsEveryLimit) {
    const model::RequestsSpec wanted{.try_limit = 5s,
                                     .total_limit = 20s,
                                     .tunnel = 15min,
                                     .body_bytes_max = std::uint64_t{1} << 30,
                                     .in_flight_max = 64,
                                     .queued_max = 0};
    EXPECT_EQ(good_service("requests: {try: 5s, total: 20s, tunnel: 15m, body: 1Gi, in-flight: 64, "
                           "queue: 0}")
                  .requests,
              wanted);
}

TEST(ReadRequests, WhatIsNotSaidIsUsual) {
    const model::RequestsSpec usual;
    EXPECT_EQ(good_service("").requests, usual);
    EXPECT_EQ(good_service("requests: {}").requests, usual);
    EXPECT_EQ(usual.try_limit, model::kResponseHeadLimit);
    EXPECT_EQ(usual.total_limit, Duration::zero());
    EXPECT_EQ(usual.in_flight_max, model::kInFlightMax);
    // A short 'total' beside the usual 'try' is how one says it in one word.
    EXPECT_EQ(good_service("requests: {total: 2s}").requests.total_limit, 2s);
}

TEST(ReadRequests, RefusesLimitsThatAreNone) {
    expect_wrong(
        {{"requests: 5", "5:15: 'requests' must be a map of keys, not a number"},
         {"requests: {tunel: 5s}", "5:16: unknown key 'tunel' | did you mean 'tunnel'"},
         {"requests: {inflight: 5}", "5:16: unknown key 'inflight' | did you mean 'in-flight'"},
         {"requests: {try: 0s}", "5:21: 'try': '0s' is out of range: 1ms to 7d | try: 30s"},
         {"requests: {try: 8d}", "5:21: 'try': '8d' is out of range: 1ms to 7d | try: 30s"},
         {"requests: {total: 0s}", "5:23: 'total': '0s' is out of range: 1ms to 7d | total: 1m"},
         {"requests: {tunnel: 30}", "5:24: 'tunnel': '30' needs a unit: ms, s, m, h or d"},
         {"requests: {try: 9s, total: 3s}",
          "5:32: 'total' is shorter than 'try': no attempt could take so long | total: 18s"},
         {"requests: {body: 0}",
          "5:22: 'body' is 0: no request could bring anything | body: 1Mi, or remove the key: "
          "then any size passes"},
         {"requests: {body: 1GB}", "5:22: 'body': '1GB' needs a unit: Ki, Mi, Gi, Ti, k, M or G"},
         {"requests: {in-flight: 0}", "5:27: 'in-flight': 0 is out of range: 1 to 16384"},
         {"requests: {in-flight: 16385}", "5:27: 'in-flight': 16385 is out of range: 1 to 16384"},
         {"requests: {queue: -1}", "5:23: 'queue': -1 is out of range: 0 to 16384"},
         {"requests: {queue: many}",
          "5:23: 'queue' must be a whole number from 0 to 16384, not a text"},
         {"port: none\nrequests: {try: 1s}",
          "6:15: 'requests' says what happens at a port, and this service has port none | remove "
          "it"}});
}

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

TEST(ReadRequests, UsersAreToldApartByACookieOrAHeader) {
    EXPECT_EQ(good_service("requests: {sticky: {cookie: session_id}}").requests,
              (model::RequestsSpec{.sticky_cookie = "session_id"}));
    EXPECT_EQ(good_service("requests: {sticky: {header: X-User}}").requests,
              (model::RequestsSpec{.sticky_header = "X-User"}));
    EXPECT_EQ(good_service("requests: {}").requests, model::RequestsSpec{});
}

TEST(ReadRequests, RefusesNamesThatAreNone) {
    expect_wrong({
        {"requests: {sticky: {}}",
         "5:16: 'sticky' goes by one cookie or by one header | sticky: {cookie: session}"},
        {"requests: {sticky: {cookie: a, header: b}}",
         "5:16: 'sticky' goes by one cookie or by one header | sticky: {cookie: session}"},
        {"requests: {sticky: {cookie: 'a b'}}",
         "5:33: 'a b' is not a name of a cookie: 1 to 64 letters, digits and '-', '_' | "
         "cookie: session"},
        {"requests: {sticky: {header: 'X:'}}",
         "5:33: 'X:' is not a name of a header: 1 to 64 letters, digits and '-', '_' | "
         "header: X-User"},
    });
}

}  // namespace

}  // namespace thole::manifest
