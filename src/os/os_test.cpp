// The loop, files, streams, links and the background thread on the real kernel.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/linux_env.h"
#include "os/linux_link.h"
#include "os/linux_stream.h"

namespace thole::os {
namespace {

using namespace std::chrono_literals;

class OsTest : public testing::Test {
protected:
    OsTest() : linux_(loop_), env_(linux_.env()) {
        char name[] = "/tmp/thole-os-test-XXXXXX";
        folder_ = mkdtemp(name);
    }
    ~OsTest() override {
        const std::string command = "rm -rf " + folder_;
        EXPECT_EQ(system(command.c_str()), 0);
    }
    // Turns the loop until the condition holds; fails after ten seconds.
    template <typename Condition>
    void until(Condition condition) {
        const Time deadline = boot_now() + 10s;
        while (!condition() && boot_now() < deadline) loop_.turn(100ms);
        ASSERT_TRUE(condition());
    }

    Loop loop_;
    LinuxEnv linux_;
    env::Env& env_;
    std::string folder_;
};

TEST_F(OsTest, TimersComeInOrderAndCancelWhenDestroyed) {
    std::string order;
    const env::Timer second = env_.timers.after(20ms, [&] { order += "2"; });
    const env::Timer first = env_.timers.after(5ms, [&] { order += "1"; });
    {
        const env::Timer never = env_.timers.after(1ms, [&] { order += "x"; });
    }
    until([&] { return order.size() == 2; });
    EXPECT_EQ(order, "12");
}

// A timer that starts the next one at once must not keep sockets from being served.
TEST_F(OsTest, ATimerOfZeroDoesNotStarveTheLoop) {
    int turns = 0;
    env::Timer again;
    std::function<void()> call = [&] {
        ++turns;
        again = env_.timers.after(0ms, call);
    };
    call();
    loop_.turn(0ms);
    EXPECT_EQ(turns, 2);
}

TEST_F(OsTest, BackgroundWorkIsDoneInOrderOffTheLoop) {
    std::string done;
    for (const char* name : {"a", "b", "c"}) {
        env_.background.run([] {}, [&done, name] { done += name; });
    }
    until([&] { return done.size() == 3; });
    EXPECT_EQ(done, "abc");
}

TEST_F(OsTest, ReplaceLeavesTheOldFileOrTheNew) {
    const std::string path = folder_ + "/a/b/file";
    ASSERT_TRUE(env_.files.make_folder(folder_ + "/a/b", 0700).ok());
    ASSERT_TRUE(env_.files.replace(path, "one", env::Durability::Synced, 0600).ok());
    ASSERT_TRUE(env_.files.replace(path, "two", env::Durability::Synced, 0600).ok());
    EXPECT_EQ(env_.files.read(path, 100).value(), "two");
    EXPECT_EQ(env_.files.read(path, 2).error().code, Code::Overload);
    EXPECT_EQ(env_.files.list(folder_ + "/a/b").value().size(), 1U);
    EXPECT_EQ(env_.files.read(folder_ + "/none", 2).error().code, Code::NotFound);
    EXPECT_TRUE(env_.files.remove(path).ok());
    EXPECT_TRUE(env_.files.remove(path).ok());
}

// On a full disk it would keep the room that is wanted.
TEST_F(OsTest, WhatCouldNotBeReplacedLeavesNothingBeside) {
    ASSERT_TRUE(env_.files.make_folder(folder_ + "/f/inside", 0700).ok());
    EXPECT_FALSE(env_.files.replace(folder_ + "/f", "x", env::Durability::None, 0600).ok());
    EXPECT_FALSE(env_.files.exists(folder_ + "/f.new"));
}

// Whoever owns the folder could else hold us for ever with a pipe that nobody writes.
TEST_F(OsTest, OnlyARegularFileIsRead) {
    const std::string pipe = folder_ + "/pipe";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    for (const std::string& path : {pipe, folder_, std::string("/dev/zero")})
        EXPECT_EQ(env_.files.read(path, 100).error().code, Code::Invalid) << path;
    ASSERT_TRUE(env_.files.replace(folder_ + "/it", "text", env::Durability::None, 0600).ok());
    ASSERT_EQ(symlink("it", (folder_ + "/link").c_str()), 0);
    EXPECT_EQ(env_.files.read(folder_ + "/link", 100).value(), "text");
}

// /proc is one of the file systems that know no sync of a folder.
TEST_F(OsTest, AFolderThatCannotBeSyncedIsNoErrorAndOneThatIsNotThereIs) {
    EXPECT_TRUE(env_.files.sync_folder("/proc").ok());
    EXPECT_EQ(env_.files.sync_folder(folder_ + "/none").error().code, Code::NotFound);
}

// A full disk must say so and leave what was there.
TEST_F(OsTest, AFullDiskIsAnErrorNotAShortFile) {
    const Result<std::unique_ptr<env::File>> full =
        env_.files.open("/dev/full", env::OpenMode::ReadWrite);
    ASSERT_TRUE(full.ok());
    EXPECT_FALSE((*full)->write_at(0, "x").ok());
}

TEST_F(OsTest, AStreamCarriesMegabytesBothWaysAndEndsCleanly) {
    std::unique_ptr<env::Stream> server;
    std::string at_server;
    bool server_closed = false;
    const auto listening =
        env_.network.listen({0x7f000001, 0}, [&](std::unique_ptr<env::Stream> stream) {
            server = std::move(stream);
            server->set_events(
                {.received = [&](std::string_view bytes) { at_server.append(bytes); },
                 .ended =
                     [&] {
                         server->write(at_server);
                         server->end();
                     },
                 .closed = [&](const Error&) { server_closed = true; }});
        });
    ASSERT_TRUE(listening.ok());
    const std::string sent(3'000'000, 'x');
    std::string back;
    bool ended = false;
    const auto client = env_.network.connect((*listening)->address());
    client->set_events({.received = [&](std::string_view bytes) { back.append(bytes); },
                        .ended = [&] { ended = true; }});
    client->write(sent);
    client->end();
    until([&] { return ended && server_closed; });
    EXPECT_EQ(back, sent);
}

TEST_F(OsTest, ConnectingToNobodyTellsSo) {
    std::string said;
    const auto stream = env_.network.connect_unix(folder_ + "/nobody");
    stream->set_events({.closed = [&](const Error& error) { said = error.message; }});
    until([&] { return !said.empty(); });
    EXPECT_NE(said.find("nobody"), std::string::npos);
}

TEST_F(OsTest, APortIsClaimedByOneUntilItLetsGo) {
    LinuxNetwork other(loop_);
    auto claim = env_.network.claim_port(29999);
    ASSERT_TRUE(claim.ok()) << claim.error().text();
    const auto second = other.claim_port(29999);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, Code::Conflict);
    EXPECT_TRUE(other.claim_port(29998).ok());
    claim->reset();
    EXPECT_TRUE(other.claim_port(29999).ok());
}

TEST_F(OsTest, AUnixSocketIsForItsOwnerAlone) {
    std::unique_ptr<env::Stream> server;
    const auto listening = env_.network.listen_unix(
        folder_ + "/s", [&](std::unique_ptr<env::Stream> stream) { server = std::move(stream); });
    ASSERT_TRUE(listening.ok());
    struct stat info {};
    ASSERT_EQ(::stat((folder_ + "/s").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0600U);
    const auto client = env_.network.connect_unix(folder_ + "/s");
    until([&] { return server != nullptr; });
    EXPECT_EQ(server->peer().uid, ::getuid());
    EXPECT_EQ(server->peer().pid, static_cast<std::uint32_t>(::getpid()));
}

TEST_F(OsTest, ALinkKeepsFramesWholeAndInOrder) {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    const auto left = make_link(loop_, FileDescriptor(pair[0]));
    auto right = make_link(loop_, FileDescriptor(pair[1]));
    std::vector<std::size_t> sizes;
    std::string closed;
    right->set_events({.received = [&](std::string_view frame) { sizes.push_back(frame.size()); }});
    left->set_events({.closed = [&](const Error& error) { closed = error.message; }});
    for (std::size_t i = 1; i <= 100; ++i) left->send(std::string(i * 1000, 'x'));
    until([&] { return sizes.size() == 100; });
    for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(sizes[i], (i + 1) * 1000);
    right.reset();
    until([&] { return !closed.empty(); });
}

}  // namespace
}  // namespace thole::os
