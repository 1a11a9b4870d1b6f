// Frames, images and snapshots: what was written is read back, and damage at any byte is seen.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "wire/edge.h"
#include "wire/fault.h"
#include "wire/frame.h"
#include "wire/image.h"
#include "wire/keeper.h"
#include "wire/slots.h"
#include "wire/snapshot.h"

namespace thole::wire {
namespace {

TEST(Frame, ComesBackWhole) {
    const SlotRef at{17, 3};
    const std::string bytes = seal_message(KeeperMessage::Spawn, SpawnRequest{at});
    const std::optional<Frame> frame = open_frame(bytes);
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->type, static_cast<std::uint16_t>(KeeperMessage::Spawn));
    EXPECT_EQ(read_message<SpawnRequest>(frame->body)->at.slot, 17U);
    EXPECT_FALSE(read_message<HelloToKeeper>(frame->body).has_value());
}

// A flipped bit between two versions of two programs must never become another request.
TEST(Frame, AnyDamagedBitIsSeen) {
    const std::string whole = seal(7, "twelve bytes");
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
        std::string bytes = whole;
        bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
        EXPECT_FALSE(open_frame(bytes).has_value()) << bit;
    }
    for (std::size_t length = 0; length < whole.size(); ++length) {
        EXPECT_FALSE(open_frame(std::string_view(whole).substr(0, length)).has_value()) << length;
    }
    EXPECT_FALSE(open_frame(whole + "x").has_value());
}

ImageSource sample_image() {
    ImageSource source;
    source.cwd = "/data/releases/1";
    source.out = "/data/spool/17.out";
    source.err = "/data/spool/17.err";
    source.argv = {"/bin/sh", "-c", "exec true"};
    source.environment = {"PORT=20000", "EMPTY="};
    source.uid = 61184;
    return source;
}

TEST(Image, ComesBackWhole) {
    const std::string bytes = write_image(sample_image()).value();
    ImageView view;
    ASSERT_TRUE(view.open(bytes));
    EXPECT_STREQ(view.cwd(), "/data/releases/1");
    EXPECT_STREQ(view.cgroup(), "");
    EXPECT_EQ(view.header().uid, 61184U);
    const char* argv[4];
    const char* envp[3];
    view.fill(argv, envp);
    EXPECT_STREQ(argv[2], "exec true");
    EXPECT_EQ(argv[3], nullptr);
    EXPECT_STREQ(envp[1], "EMPTY=");
    EXPECT_EQ(envp[2], nullptr);
}

// An image that a full tmpfs cut short must never be run half.
TEST(Image, AnyDamagedByteIsSeen) {
    const std::string whole = write_image(sample_image()).value();
    ImageView view;
    for (std::size_t i = 0; i < whole.size(); ++i) {
        std::string bytes = whole;
        bytes[i] = static_cast<char>(bytes[i] ^ 0x20);
        EXPECT_FALSE(view.open(bytes)) << i;
        EXPECT_FALSE(view.open(std::string_view(whole).substr(0, i))) << i;
    }
}

TEST(Image, RefusesWhatNoProcessCouldBeGiven) {
    ImageSource source = sample_image();
    source.environment.push_back(std::string("A=\0B", 4));
    EXPECT_FALSE(write_image(source).ok());
    source = sample_image();
    source.argv.clear();
    EXPECT_FALSE(write_image(source).ok());
    source = sample_image();
    source.environment.push_back("BIG=" + std::string(2 * 1024 * 1024, 'x'));
    EXPECT_FALSE(write_image(source).ok());
    source = sample_image();
    source.environment.push_back("BIG=" + std::string(100 * 1024, 'x'));
    EXPECT_TRUE(write_image(source).ok());
}

Snapshot sample_snapshot() {
    Snapshot snapshot;
    snapshot.version = 9;
    snapshot.services.push_back({.id = 1, .name = "web", .limits = {.connect = Duration(1)}});
    snapshot.services.push_back({.id = 2,
                                 .name = "orders",
                                 .limits = {.held_requests_max = 1000,
                                            .total = Duration(5),
                                            .in_flight_max = 64,
                                            .queued_max = 7},
                                 .sticky = {StickyBy::Cookie, "session"}});
    snapshot.listeners.push_back({.id = 10,
                                  .kind = ListenerKind::Public,
                                  .service = 1,
                                  .trust = {{0x7f000001, 32}, {0x0a000000, 8}, {0, 0}},
                                  .routes = {{"*.shop.example", "/api", 2}, {"", "", 1}}});
    snapshot.listeners.push_back({.id = 11,
                                  .kind = ListenerKind::Call,
                                  .service = 2,
                                  .caller = 1,
                                  .caller_uid = 61184,
                                  .caller_uid_too = 61185,
                                  .check_caller = 1,
                                  .trust = {},
                                  .routes = {}});
    return snapshot;
}

TEST(Snapshot, ComesBackWhole) {
    const Snapshot back = read_snapshot(write_snapshot(sample_snapshot())).value();
    EXPECT_EQ(back.version, 9U);
    EXPECT_EQ(back.services[1].name, "orders");
    EXPECT_EQ(back.services[1].limits.held_requests_max, 1000U);
    EXPECT_EQ(back.services[1].limits.total, Duration(5));
    EXPECT_EQ(back.services[1].limits.in_flight_max, 64U);
    EXPECT_EQ(back.services[1].limits.queued_max, 7U);
    EXPECT_EQ(back.services[0].sticky.by, StickyBy::Nothing);
    EXPECT_EQ(back.services[1].sticky.by, StickyBy::Cookie);
    EXPECT_EQ(back.services[1].sticky.name, "session");
    EXPECT_EQ(back.listeners[1].caller, 1U);
    EXPECT_EQ(back.listeners[1].caller_uid, 61184U);
    EXPECT_EQ(back.listeners[1].caller_uid_too, 61185U);
    ASSERT_EQ(back.listeners[0].trust.size(), 3U);
    EXPECT_EQ(back.listeners[0].trust[1].address, 0x0a000000U);
    EXPECT_EQ(back.listeners[0].trust[1].bits, 8U);
    ASSERT_EQ(back.listeners[0].routes.size(), 2U);
    EXPECT_EQ(back.listeners[0].routes[0].host, "*.shop.example");
    EXPECT_EQ(back.listeners[0].routes[0].path, "/api");
    EXPECT_EQ(back.listeners[0].routes[0].service, 2U);
}

TEST(Snapshot, AnyDamagedByteIsSeen) {
    const std::string whole = write_snapshot(sample_snapshot());
    for (std::size_t i = 0; i < whole.size(); ++i) {
        std::string bytes = whole;
        bytes[i] = static_cast<char>(bytes[i] ^ 1);
        EXPECT_FALSE(read_snapshot(bytes).ok()) << i;
        EXPECT_FALSE(read_snapshot(std::string_view(whole).substr(0, i)).ok()) << i;
    }
}

// A call whose caller is unknown would be open to everybody on the machine.
TEST(Snapshot, ListenersNameServicesThatAreThere) {
    Snapshot snapshot = sample_snapshot();
    snapshot.listeners[1].caller = 5;
    EXPECT_FALSE(read_snapshot(write_snapshot(snapshot)).ok());
    snapshot = sample_snapshot();
    snapshot.listeners[0].service = 7;
    EXPECT_FALSE(read_snapshot(write_snapshot(snapshot)).ok());
    snapshot = sample_snapshot();
    snapshot.listeners[1].id = 10;
    EXPECT_FALSE(read_snapshot(write_snapshot(snapshot)).ok());
}

// The one on the disk may be an older control's; an edge that did not read it would serve nobody.
TEST(Snapshot, OneOfTheFormatBeforeIsRead) {
    ByteWriter writer;
    for (const std::uint32_t word : {0x70616e73U, 2U}) writer.u32(word);
    writer.u64(9);
    writer.u32(1);
    writer.u32(7);
    writer.text("web");
    for (int limit = 0; limit < 5; ++limit) writer.i64(limit);
    for (const std::uint32_t word : {1000U, 4096U}) writer.u32(word);
    writer.u32(1);
    for (const std::uint32_t word : {10U, 1U, 7U, kNoService, 0U, 0U, 0U}) writer.u32(word);
    writer.u32(crc32c(writer.bytes()));
    const Snapshot back = read_snapshot(writer.bytes()).value();
    EXPECT_EQ(back.services[0].limits.held_bytes_max, 4096U);
    EXPECT_EQ(back.listeners[0].service, 7U);
    EXPECT_TRUE(back.listeners[0].routes.empty() && back.listeners[0].trust.empty());
    EXPECT_EQ(back.services[0].limits.in_flight_max, 1024U);
    EXPECT_EQ(back.services[0].limits.total, Duration::zero());
    EXPECT_EQ(back.services[0].sticky.by, StickyBy::Nothing);
}

// Sums of times would overflow, and counts would not fit where the edge keeps them.
TEST(Snapshot, RefusesLimitsThatAreNone) {
    const auto is_read = [](SnapshotLimits limits) {
        Snapshot snapshot = sample_snapshot();
        snapshot.services[0].limits = limits;
        return read_snapshot(write_snapshot(snapshot)).ok();
    };
    EXPECT_TRUE(is_read({.tunnel = kSnapshotTimeMax, .in_flight_max = 65535, .queued_max = 65535}));
    for (const Duration time : {Duration(-1), kSnapshotTimeMax + Duration(1)}) {
        EXPECT_FALSE(is_read({.response_head = time}));
        EXPECT_FALSE(is_read({.tunnel = time}));
        EXPECT_FALSE(is_read({.total = time}));
    }
    EXPECT_FALSE(is_read({.in_flight_max = 65536}));
    EXPECT_FALSE(is_read({.queued_max = 65536}));
}

TEST(Snapshot, RefusesStickyKeysThatAreNone) {
    const auto is_read = [](SnapshotSticky sticky) {
        Snapshot snapshot = sample_snapshot();
        snapshot.services[0].sticky = std::move(sticky);
        return read_snapshot(write_snapshot(snapshot)).ok();
    };
    EXPECT_TRUE(is_read({StickyBy::Header, std::string(kStickyNameMax, 'x')}));
    EXPECT_FALSE(is_read({StickyBy::Header, std::string(kStickyNameMax + 1, 'x')}));
    EXPECT_FALSE(is_read({StickyBy::Cookie, ""}));
    EXPECT_FALSE(is_read({StickyBy::Nothing, "x"}));
    EXPECT_FALSE(is_read({static_cast<StickyBy>(3), "x"}));
}

// What the edge would compare in vain, or twice, or with somebody who is not there.
TEST(Snapshot, RefusesRoutesAndNetworksThatAreNone) {
    const auto is_read = [](auto change) {
        Snapshot snapshot = sample_snapshot();
        change(snapshot.listeners[0]);
        return read_snapshot(write_snapshot(snapshot)).ok();
    };
    const auto with_route = [&](SnapshotRoute route) {
        return is_read([&](SnapshotListener& listener) { listener.routes.push_back(route); });
    };
    EXPECT_TRUE(with_route({"shop.example", "/api/x", 1}));
    EXPECT_TRUE(with_route({"*." + std::string(253, 'a'), "/" + std::string(254, 'a'), 1}));
    EXPECT_FALSE(with_route({"shop.example", "", 3}));
    EXPECT_FALSE(with_route({"*.shop.example", "/api", 1}));
    for (const char* host : {"Shop", "*", "*.", "a.*", "a:80", "a b", "\xff"})
        EXPECT_FALSE(with_route({host, "", 1})) << host;
    for (const char* path : {"/", "api", "/api/", "/%61", "/a b", "/a;b"})
        EXPECT_FALSE(with_route({"a", path, 1})) << path;
    EXPECT_FALSE(with_route({std::string(256, 'a'), "", 1}));
    EXPECT_FALSE(with_route({"a", "/" + std::string(255, 'a'), 1}));
    const auto with_network = [&](SnapshotNetwork network) {
        return is_read([&](SnapshotListener& listener) { listener.trust = {network}; });
    };
    EXPECT_TRUE(with_network({0xffffffff, 32}));
    EXPECT_FALSE(with_network({0, 33}));
    EXPECT_FALSE(with_network({1, 0}));
    EXPECT_FALSE(with_network({0x0a000001, 31}));
    EXPECT_FALSE(is_read([](SnapshotListener& listener) {
        listener.trust.assign(kNetworksMax + 1, SnapshotNetwork{0, 0});
    }));
    EXPECT_FALSE(is_read([](SnapshotListener& listener) {
        for (std::uint32_t i = 0; i < kRoutesMax; ++i)
            listener.routes.push_back({"h" + std::to_string(i), "", 1});
    }));
    Snapshot snapshot = sample_snapshot();
    snapshot.listeners[1].routes = {{"a", "", 1}};
    EXPECT_FALSE(read_snapshot(write_snapshot(snapshot)).ok());
}

FaultState sound_fault() {
    FaultState fault{};
    fault.terms.id = 1;
    fault.terms.kind = FaultKind::Abort;
    fault.terms.share = 1000;
    fault.terms.until = 2;
    fault.begun = 1;
    return fault;
}

// Control makes texts and sums of what an edge tells, which may be any edge.
TEST(Fault, IsReadOnlyWhereItsTextsEndAndItsNumbersMayBeCalculatedWith) {
    EXPECT_TRUE(is_sound(sound_fault()));
    const auto with = [](auto change) {
        FaultState fault = sound_fault();
        change(fault);
        return is_sound(fault);
    };
    EXPECT_FALSE(with([](auto& fault) { std::memset(fault.terms.by, 'x', 64); }));
    EXPECT_FALSE(with([](auto& fault) { std::memset(fault.terms.field, 'x', 32); }));
    EXPECT_FALSE(with([](auto& fault) { std::memset(fault.terms.value, 'x', 128); }));
    EXPECT_TRUE(with([](auto& fault) { std::memset(fault.terms.by, 'x', 63); }));
    EXPECT_FALSE(with([](auto& fault) { fault.terms.by[0] = '\n'; }));
    EXPECT_FALSE(with([](auto& fault) { fault.terms.kind = FaultKind::Count_; }));
    EXPECT_FALSE(with([](auto& fault) { fault.terms.kind = static_cast<FaultKind>(99); }));
    EXPECT_FALSE(with([](auto& fault) { fault.terms.id = 0; }));
    EXPECT_FALSE(with([](auto& fault) { fault.terms.id = ~0U; }));
    EXPECT_FALSE(with([](auto& fault) { fault.terms.share = 1001; }));
    EXPECT_FALSE(with([](auto& fault) { fault.terms.until = INT64_MAX; }));
    EXPECT_FALSE(with([](auto& fault) { fault.terms.until = 0; })) << "before it began";
    EXPECT_FALSE(with([](auto& fault) { fault.begun = INT64_MIN; }));
    EXPECT_FALSE(with([](auto& fault) { fault.terms.delay = -1; }));
    EXPECT_FALSE(with([](auto& fault) { fault.terms.jitter = INT64_MAX; }));
}

}  // namespace
}  // namespace thole::wire
