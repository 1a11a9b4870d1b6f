#include "edge/keeper_link.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "wire/frame.h"

namespace thole::edge {
namespace {

// The other end of a link: what keeper says.
class KeeperLinkTest : public testing::Test {
protected:
    void SetUp() override {
        std::string folder = testing::TempDir() + "keeper_link_XXXXXX";
        ASSERT_NE(::mkdtemp(folder.data()), nullptr);
        folder_ = folder;
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        const std::string path = folder_ + "/keeper.sock";
        ASSERT_LT(path.size(), sizeof(at.sun_path));
        std::memcpy(at.sun_path, path.c_str(), path.size() + 1);
        listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
        ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)), 0);
        ASSERT_EQ(::listen(listener_.get(), 1), 0);
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    KeeperLink link() {
        Result<KeeperLink> made = KeeperLink::connect(folder_);
        EXPECT_TRUE(made.ok());
        keeper_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        return std::move(*made);
    }
    template <typename Message>
    void say(wire::KeeperMessage type, const Message& message) {
        const std::string frame = wire::seal_message(type, message);
        ASSERT_EQ(::send(keeper_.get(), frame.data(), frame.size(), 0),
                  static_cast<ssize_t>(frame.size()));
    }
    void refuse(wire::KeeperMessage request) {
        wire::RefusedEvent refused{};
        refused.request = static_cast<std::uint16_t>(request);
        say(wire::KeeperMessage::Refused, refused);
    }

    std::string folder_;
    os::FileDescriptor listener_;
    os::FileDescriptor keeper_;
};

TEST_F(KeeperLinkTest, IsRefusedOnceKeeperTakesAnotherOneForItsEdge) {
    KeeperLink link = this->link();
    refuse(wire::KeeperMessage::TakeListener);
    EXPECT_TRUE(link.skip_news());
    EXPECT_FALSE(link.is_refused());
    refuse(wire::KeeperMessage::ServeAsEdge);
    EXPECT_TRUE(link.skip_news());
    EXPECT_TRUE(link.is_refused());
}

// The refusal comes before the answer to what was asked after it.
TEST_F(KeeperLinkTest, IsRefusedWhileAnotherAnswerIsWaitedFor) {
    KeeperLink link = this->link();
    refuse(wire::KeeperMessage::ServeAsEdge);
    say(wire::KeeperMessage::Handed,
        wire::HandedEvent{static_cast<std::uint16_t>(wire::KeeperMessage::ParkSegment), 0, 0});
    EXPECT_TRUE(link.park_segment(listener_.get()).ok());
    EXPECT_TRUE(link.is_refused());
}

}  // namespace
}  // namespace thole::edge
