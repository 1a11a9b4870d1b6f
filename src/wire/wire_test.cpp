// Frames, images and snapshots: what was written is read back, and damage at any byte is seen.
#include <gtest/gtest.h>

#include "wire/edge.h"
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
    snapshot.services.push_back({.id = 2, .name = "orders", .limits = {.held_requests_max = 1000}});
    snapshot.listeners.push_back({.id = 10, .kind = ListenerKind::Public, .service = 1});
    snapshot.listeners.push_back({.id = 11,
                                  .kind = ListenerKind::Call,
                                  .service = 2,
                                  .caller = 1,
                                  .caller_uid = 61184,
                                  .caller_uid_too = 61185,
                                  .check_caller = 1});
    return snapshot;
}

TEST(Snapshot, ComesBackWhole) {
    const Snapshot back = read_snapshot(write_snapshot(sample_snapshot())).value();
    EXPECT_EQ(back.version, 9U);
    EXPECT_EQ(back.services[1].name, "orders");
    EXPECT_EQ(back.services[1].limits.held_requests_max, 1000U);
    EXPECT_EQ(back.listeners[1].caller, 1U);
    EXPECT_EQ(back.listeners[1].caller_uid, 61184U);
    EXPECT_EQ(back.listeners[1].caller_uid_too, 61185U);
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

}  // namespace
}  // namespace thole::wire
