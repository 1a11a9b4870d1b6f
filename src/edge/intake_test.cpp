// A head as its route takes it: strictly, but for who only wants to be told; and what may be
// upgraded to.
#include "edge/intake.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

namespace thole::edge {
namespace {

constexpr std::uint32_t kStrict = 0, kLenient = 1, kKeeps = 2;

// Listener 0: /lenient, /keeps and all else; listener 1 has but the strict one.
class Intake : public testing::Test {
protected:
    Intake() {
        wire::SnapshotListener listener;
        listener.id = 1;
        listener.routes = {{"", "/lenient", kLenient}, {"", "/keeps", kKeeps}, {"", "", kStrict}};
        routes_->of[0] = put_routes(routes_->table, listener, [](std::uint32_t id) { return id; });
        routes_->of[0].may_report = 1;
        routes_->of[1].usual = {kStrict, kStrict};
        routes_->policies[kLenient].flags = wire::kReportsRules;
        routes_->policies[kKeeps].flags = wire::kKeepsEncodedSlash;
    }
    Taken take(const std::string& target, const std::string& field, std::uint32_t listener = 0) {
        text_ = "GET " + target + " HTTP/1.1\r\nHost: a\r\n" + field + "\r\n";
        return take_head(text_, *routes_, listener, {head_, room_});
    }

    std::unique_ptr<AllRoutes> routes_ = std::make_unique<AllRoutes>();
    std::string text_;
    http::RequestHead head_;
    std::array<char, http::kHeadBytesMax> room_{};
};

TEST_F(Intake, TheRouteDecidesWhetherARuleIsBent) {
    const Taken served = take("/lenient/a", "X-A : b\r\n");
    ASSERT_EQ(served.state, http::HeadState::Done);
    EXPECT_EQ(served.routed.to.id, kLenient);
    EXPECT_EQ(served.bytes, text_.size());
    EXPECT_TRUE(served.reported.has(http::Rule::NameSpace));
    EXPECT_EQ(head_.find("x-a")->value, "b");
    for (const std::uint32_t listener : {0U, 1U}) {
        const Taken refused = take("/a", "X-A : b\r\n", listener);
        EXPECT_EQ(refused.state, http::HeadState::Bad);
        EXPECT_EQ(refused.rule, http::Rule::NameSpace);
        EXPECT_EQ(refused.status, 400);
    }
}

TEST_F(Intake, WhatIsRightIsReportedNowhere) {
    for (const char* target : {"/lenient", "/a"}) {
        const Taken taken = take(target, "X-A: b\r\n");
        EXPECT_EQ(taken.state, http::HeadState::Done);
        EXPECT_TRUE(taken.reported.is_empty());
    }
}

TEST_F(Intake, WhatTwoMayReadDifferentlyIsRefusedEverywhere) {
    EXPECT_EQ(take("/lenient", "Content-Length : 5\r\n").rule, http::Rule::NameSpace);
    EXPECT_EQ(take("/lenient", "X: a\r\n b\r\n").rule, http::Rule::Fold);
    EXPECT_EQ(take("/lenient/%00", "").rule, http::Rule::TargetNul);
}

TEST_F(Intake, AnEncodedSlashIsForWhoKeepsIt) {
    EXPECT_EQ(take("/keeps/a%2fb", "").routed.routing, Routing::Found);
    EXPECT_EQ(take("/keeps/a%2fb", "").routed.to.id, kKeeps);
    EXPECT_EQ(take("/keeps/a%2f..", "").routed.routing, Routing::EncodedSlash);
    EXPECT_EQ(take("/keeps%2fb", "").routed.routing, Routing::EncodedSlash);
    EXPECT_EQ(take("/lenient/a%2fb", "").routed.routing, Routing::EncodedSlash);
    EXPECT_EQ(take("/a%2fb", "", 1).routed.routing, Routing::Found) << "no prefix decides there";
}

std::string allowed(const RequestPolicy& policy, std::string_view asked, std::size_t size = 64) {
    char room[64];
    return std::string(allowed_upgrade(policy, asked, std::span(room).first(size)));
}

// h2c would let requests pass who reads HTTP/1.1.
TEST(Policy, UpgradesToWhatIsListedAndNeverToHttp2) {
    const RequestPolicy some = policy_of({1, "shop", {}, {}, 0, "websocket, echo, h2c"});
    EXPECT_EQ(allowed(some, "websocket"), "websocket");
    EXPECT_EQ(allowed(some, "WebSocket"), "WebSocket");
    EXPECT_EQ(allowed(some, "lines"), "");
    EXPECT_EQ(allowed(some, "h2c"), "");
    EXPECT_EQ(allowed(some, "H2C, websocket"), "websocket");
    EXPECT_EQ(allowed(some, "lines, echo , websocket"), "echo, websocket");
    EXPECT_EQ(allowed(some, "echo, websocket", 10), "");
    EXPECT_EQ(allowed(some, ""), "");
    const RequestPolicy none = policy_of({1, "shop", {}, {}, 0, ""});
    EXPECT_EQ(allowed(none, "websocket"), "");
    const RequestPolicy any = policy_of({1, "shop", {}, {}, wire::kAnyUpgrade, ""});
    EXPECT_EQ(allowed(any, "h2c, lines"), "lines");
    EXPECT_EQ(allowed(any, "echo"), "echo");
}

}  // namespace
}  // namespace thole::edge
