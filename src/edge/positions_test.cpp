#include "edge/positions.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "os/fd.h"

namespace thole::edge {
namespace {

// A connected pair on loopback: `ours` was opened by us, `theirs` by its peer.
struct Pair {
    os::FileDescriptor ours;
    os::FileDescriptor theirs;
};

Pair connect_pair() {
    const os::FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(at);
    EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
    Pair pair{os::FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
              os::FileDescriptor()};
    EXPECT_EQ(::connect(pair.ours.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
    pair.theirs.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    return pair;
}

void send_bytes(int fd, std::size_t count) {
    const std::string bytes(count, 'x');
    ASSERT_EQ(::send(fd, bytes.data(), count, MSG_NOSIGNAL), static_cast<ssize_t>(count));
}

void read_bytes(int fd, std::size_t count) {
    std::string bytes(count, '\0');
    ASSERT_EQ(::recv(fd, bytes.data(), count, MSG_WAITALL), static_cast<ssize_t>(count));
}

TEST(Positions, AFreshConnectionStandsAtZeroOnBothSides) {
    const Pair pair = connect_pair();
    const Positions ours = positions_of(pair.ours.get(), Opened::ByUs).value();
    const Positions theirs = positions_of(pair.theirs.get(), Opened::ByPeer).value();
    EXPECT_EQ(ours.in + ours.out + theirs.in + theirs.out, 0U);
}

// What the kernel has received and we have not read is not ours yet.
TEST(Positions, CountWhatWasReadNotWhatArrived) {
    const Pair pair = connect_pair();
    send_bytes(pair.theirs.get(), 1000);
    read_bytes(pair.ours.get(), 300);
    EXPECT_EQ(positions_of(pair.ours.get(), Opened::ByUs).value().in, 300U);
    EXPECT_EQ(positions_of(pair.theirs.get(), Opened::ByPeer).value().out, 1000U);
    read_bytes(pair.ours.get(), 700);
    EXPECT_EQ(positions_of(pair.ours.get(), Opened::ByUs).value().in, 1000U);
}

// The peer reads nothing: bytes stand in both kernels' buffers, and all were written by us.
TEST(Positions, CountWhatWasWrittenNotWhatWasAcknowledged) {
    const Pair pair = connect_pair();
    const std::string bytes(100'000, 'x');
    std::uint64_t written = 0;
    while (true) {
        const ssize_t sent =
            ::send(pair.ours.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) break;
        written += static_cast<std::uint64_t>(sent);
    }
    EXPECT_GT(written, 100'000U);
    EXPECT_EQ(positions_of(pair.ours.get(), Opened::ByUs).value().out, written);
}

TEST(Positions, AnEndFromThePeerIsNoByte) {
    const Pair pair = connect_pair();
    send_bytes(pair.theirs.get(), 10);
    ::shutdown(pair.theirs.get(), SHUT_WR);
    read_bytes(pair.ours.get(), 4);
    // The FIN arrives on loopback with the shutdown.
    const Positions half = positions_of(pair.ours.get(), Opened::ByUs).value();
    EXPECT_EQ(half.in, 4U);
    EXPECT_TRUE(half.has_peer_ended);
    read_bytes(pair.ours.get(), 6);
    EXPECT_EQ(positions_of(pair.ours.get(), Opened::ByUs).value().in, 10U);
}

TEST(Positions, OurOwnEndIsNoByte) {
    const Pair pair = connect_pair();
    send_bytes(pair.ours.get(), 10);
    ::shutdown(pair.ours.get(), SHUT_WR);
    EXPECT_EQ(positions_of(pair.ours.get(), Opened::ByUs).value().out, 10U);
    // Both have ended: the last states before TIME_WAIT.
    send_bytes(pair.theirs.get(), 20);
    ::shutdown(pair.theirs.get(), SHUT_WR);
    EXPECT_EQ(positions_of(pair.theirs.get(), Opened::ByPeer).value_or(Positions{.out = 20}).out,
              20U);
}

TEST(Positions, WhatIsNoTcpSocketHasNone) {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    EXPECT_FALSE(positions_of(pair[0], Opened::ByUs).has_value());
    ::close(pair[0]);
    ::close(pair[1]);
    EXPECT_FALSE(positions_of(-1, Opened::ByUs).has_value());
}

}  // namespace
}  // namespace thole::edge
