#include "edge/positions.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
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

void reset(os::FileDescriptor& socket) {
    const ::linger at_once{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    socket.reset(-1);
}

// Else a successor takes what may have been executed for what never left, or the other way round.
TEST(Positions, OfAConnectionThatWasResetTellWhatWasWritten) {
    for (const std::size_t size : {0U, 1U, 5000U, 200'000U}) {
        Pair pair = connect_pair();
        std::size_t written = 0;
        while (written < size) {
            const std::string bytes(std::min<std::size_t>(size - written, 1000), 'x');
            const ssize_t sent =
                ::send(pair.ours.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0) break;  // Its peer does not read: acknowledged, or not, it was written.
            written += static_cast<std::size_t>(sent);
        }
        EXPECT_FALSE(written_before_reset(pair.ours.get()));
        reset(pair.theirs);
        EXPECT_FALSE(positions_of(pair.ours.get(), Opened::ByUs));
        EXPECT_EQ(written_before_reset(pair.ours.get()), written);
    }
}

TEST(Positions, OfAConnectionThatWasResetAfterItsEndTellWhatWasWritten) {
    Pair pair = connect_pair();
    send_bytes(pair.ours.get(), 10);
    ::shutdown(pair.theirs.get(), SHUT_WR);
    reset(pair.theirs);
    EXPECT_EQ(written_before_reset(pair.ours.get()), 10U);
}

TEST(Positions, OfAConnectionThatWasRefusedTellThatNothingWasWritten) {
    const os::FileDescriptor nobody(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(at);
    ASSERT_EQ(::bind(nobody.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
    ASSERT_EQ(::getsockname(nobody.get(), reinterpret_cast<sockaddr*>(&at), &size), 0);
    const os::FileDescriptor ours(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    EXPECT_FALSE(written_before_reset(ours.get()));
    ASSERT_NE(::connect(ours.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(written_before_reset(ours.get()), 0U);
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
