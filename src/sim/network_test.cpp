// Streams, links, listening sockets and what may happen to them.
#include <gtest/gtest.h>

#include "sim/host.h"

namespace thole::sim {
namespace {

using namespace std::chrono_literals;

constexpr env::Address kWeb = {0x7f000001, 8080};

// One end of a stream or link, and what it was told.
struct Heard {
    std::unique_ptr<env::Stream> stream;
    std::unique_ptr<env::Link> link;
    std::string text;
    std::vector<std::string> frames;
    int connected = 0;
    int ended = 0;
    int drained = 0;
    std::vector<Error> closed;

    void listen_to(std::unique_ptr<env::Stream> to) {
        stream = std::move(to);
        stream->set_events({.connected = [this] { ++connected; },
                            .received = [this](std::string_view bytes) { text += bytes; },
                            .ended = [this] { ++ended; },
                            .drained = [this] { ++drained; },
                            .closed = [this](const Error& error) { closed.push_back(error); }});
    }
    void listen_to(std::unique_ptr<env::Link> to) {
        link = std::move(to);
        link->set_events(
            {.received = [this](std::string_view frame) { frames.emplace_back(frame); },
             .closed = [this](const Error& error) { closed.push_back(error); }});
    }
    bool is_quiet() const {
        return text.empty() && frames.empty() && connected + ended + drained == 0 && closed.empty();
    }
};

class SimNetworkTest : public testing::Test {
protected:
    SimNetworkTest() : server_(&host_.process("server")), client_(&host_.process("client")) {}

    env::Accept into(Heard& heard) {
        return
            [&heard](std::unique_ptr<env::Stream> stream) { heard.listen_to(std::move(stream)); };
    }
    void until(const std::function<bool()>& holds) {
        ASSERT_TRUE(host_.loop().run_until(holds, 1min)) << host_.loop().last_events();
    }
    void run(Duration duration) { host_.loop().run_for(duration); }
    // A TCP stream from client to server.
    void connect() {
        listening_ = server_->env().network.listen(kWeb, into(at_server_)).value();
        at_client_.listen_to(client_->env().network.connect(kWeb));
        until([&] { return at_client_.connected == 1 && at_server_.stream != nullptr; });
    }
    void connect_unix() {
        listening_ = server_->env().network.listen_unix("/run/api", into(at_server_)).value();
        at_client_.listen_to(client_->env().network.connect_unix("/run/api"));
        until([&] { return at_client_.connected == 1 && at_server_.stream != nullptr; });
    }
    void connect_link() {
        listening_ = server_->network()
                         .listen_link("/run/keeper",
                                      [this](std::unique_ptr<env::Link> link) {
                                          at_server_.listen_to(std::move(link));
                                      })
                         .value();
        at_client_.listen_to(client_->env().network.connect_link("/run/keeper"));
        until([&] { return at_server_.link != nullptr; });
    }

    SimHost host_{5};
    SimProcess* server_;
    SimProcess* client_;
    Heard at_server_;
    Heard at_client_;
    std::unique_ptr<env::Listening> listening_;
};

TEST_F(SimNetworkTest, AStreamCarriesMegabytesBothWaysAndEndsCleanly) {
    connect();
    const std::string sent(3'000'000, 'x');
    at_client_.stream->write(sent);
    at_client_.stream->end();
    EXPECT_EQ(at_client_.stream->unsent_bytes(), sent.size());
    until([&] { return at_server_.ended == 1; });
    EXPECT_EQ(at_server_.text, sent);
    EXPECT_GE(at_client_.drained, 1);
    EXPECT_TRUE(at_server_.closed.empty());
    at_server_.stream->write("answer");
    at_server_.stream->end();
    until([&] { return at_client_.closed.size() == 1 && at_server_.closed.size() == 1; });
    EXPECT_EQ(at_client_.text, "answer");
    EXPECT_EQ(at_client_.ended, 1);
}

TEST_F(SimNetworkTest, NothingComesFromInsideTheCallThatAskedForIt) {
    listening_ = server_->env().network.listen(kWeb, into(at_server_)).value();
    at_client_.listen_to(client_->env().network.connect(kWeb));
    at_client_.stream->write("x");
    EXPECT_TRUE(at_client_.is_quiet());
    EXPECT_EQ(at_server_.stream, nullptr);
    Heard refused;
    refused.listen_to(client_->env().network.connect_unix("/none"));
    EXPECT_TRUE(refused.is_quiet());
    until([&] { return at_server_.text == "x"; });
    at_client_.stream->pause();
    at_server_.stream->write("y");
    run(1s);
    at_client_.stream->resume();
    EXPECT_EQ(at_client_.text, "");
    run(1ms);
    EXPECT_EQ(at_client_.text, "y");
}

TEST_F(SimNetworkTest, APausedStreamFillsTheSenderAndGoesOnAfterwards) {
    connect();
    at_server_.stream->pause();
    const std::string sent(2'000'000, 'x');
    at_client_.stream->write(sent);
    run(10s);
    EXPECT_EQ(at_server_.text, "");
    EXPECT_GT(at_client_.stream->unsent_bytes(), 1'500'000U);
    EXPECT_LT(at_client_.stream->unsent_bytes(), sent.size());
    EXPECT_EQ(at_client_.drained, 0);
    at_server_.stream->resume();
    until([&] { return at_server_.text == sent; });
    EXPECT_EQ(at_client_.drained, 1);
}

TEST_F(SimNetworkTest, ConnectingWhereNobodyListensIsRefused) {
    at_client_.listen_to(client_->env().network.connect(kWeb));
    until([&] { return at_client_.closed.size() == 1; });
    EXPECT_EQ(at_client_.closed[0].message, "connect: Connection refused");
    Heard unix_client;
    unix_client.listen_to(client_->env().network.connect_unix("/none"));
    Heard link_client;
    link_client.listen_to(client_->env().network.connect_link("/none"));
    until([&] { return unix_client.closed.size() == 1 && link_client.closed.size() == 1; });
    EXPECT_EQ(unix_client.closed[0].code, Code::NotFound);
    EXPECT_EQ(link_client.closed[0].code, Code::NotFound);
}

TEST_F(SimNetworkTest, AListenerThatDoesNotAnswerLetsConnectingHangAndThenTimeOut) {
    listening_ = server_->env().network.listen(kWeb, into(at_server_)).value();
    host_.wires().set_answering(place_of(kWeb), Answering::Silent);
    at_client_.listen_to(client_->env().network.connect(kWeb));
    run(1min);
    EXPECT_TRUE(at_client_.is_quiet());
    run(2min);
    ASSERT_EQ(at_client_.closed.size(), 1U);
    EXPECT_EQ(at_client_.closed[0].code, Code::Timeout);
    host_.wires().set_answering(place_of(kWeb), Answering::Refuses);
    Heard refused;
    refused.listen_to(client_->env().network.connect(kWeb));
    until([&] { return refused.closed.size() == 1; });
    host_.wires().set_answering(place_of(kWeb), Answering::Yes);
    Heard taken;
    taken.listen_to(client_->env().network.connect(kWeb));
    until([&] { return taken.connected == 1; });
}

TEST_F(SimNetworkTest, AnAddressIsTakenByOneAndFreeAgainAfterIt) {
    Heard other;
    const auto first = server_->env().network.listen({0, 0}, into(at_server_));
    const env::Address address = (*first)->address();
    EXPECT_NE(address.port, 0);
    EXPECT_EQ(client_->env().network.listen({0x7f000001, address.port}, into(other)).error().code,
              Code::Conflict);
    EXPECT_EQ(client_->env().processes.listening(server_->pid()),
              std::vector<env::Address>{address});
    at_client_.listen_to(client_->env().network.connect({0x7f000001, address.port}));
    until([&] { return at_server_.stream != nullptr; });
    server_->kill();
    EXPECT_TRUE(client_->env().processes.listening(server_->pid()).empty());
    EXPECT_TRUE(client_->env().network.listen({0x7f000001, address.port}, into(other)).ok());
}

TEST_F(SimNetworkTest, UnixSocketsTellWhoIsThere) {
    connect_unix();
    EXPECT_EQ(at_server_.stream->peer().pid, client_->pid());
    EXPECT_EQ(at_server_.stream->peer().uid, 1000U);
    EXPECT_EQ(at_client_.stream->peer().pid, server_->pid());
    Heard other;
    const auto tcp = server_->env().network.listen(kWeb, into(other)).value();
    Heard over_tcp;
    over_tcp.listen_to(client_->env().network.connect(kWeb));
    until([&] { return other.stream != nullptr; });
    EXPECT_EQ(other.stream->peer().pid, 0U);
}

TEST_F(SimNetworkTest, AUnixSocketThatIsClosedEndsAndThenClosesItsPeer) {
    connect_unix();
    at_server_.stream.reset();
    until([&] { return at_client_.closed.size() == 1; });
    EXPECT_EQ(at_client_.ended, 1);
}

TEST_F(SimNetworkTest, AClosedTcpStreamIsAnEndAndAnswersBytesWithAReset) {
    connect();
    at_server_.stream.reset();
    run(1s);
    EXPECT_EQ(at_client_.ended, 1);
    EXPECT_TRUE(at_client_.closed.empty());
    at_client_.stream->write("x");
    until([&] { return at_client_.closed.size() == 1; });
}

TEST_F(SimNetworkTest, AStreamClosedWithBytesUnreadIsReset) {
    connect();
    at_server_.stream->pause();
    at_client_.stream->write("x");
    run(1s);
    at_server_.stream.reset();
    until([&] { return at_client_.closed.size() == 1; });
    EXPECT_EQ(at_client_.ended, 0);
}

// The kernel hangs up once both sides have ended, and a loop that reads nothing learns that, too.
TEST_F(SimNetworkTest, APausedStreamIsClosedWhenBothSidesHaveEnded) {
    connect();
    at_client_.stream->pause();
    at_client_.stream->end();
    at_server_.stream->write("x");
    run(1s);
    EXPECT_TRUE(at_client_.closed.empty());
    at_server_.stream->end();
    until([&] { return at_client_.closed.size() == 1; });
    EXPECT_EQ(at_client_.text, "");
    EXPECT_EQ(at_client_.ended, 0);
}

TEST_F(SimNetworkTest, ADestroyedStreamOrLinkIsToldNothingMore) {
    connect();
    at_server_.stream->write("x");
    at_server_.stream->end();
    run(10us);
    at_client_.stream.reset();
    const int connected = std::exchange(at_client_.connected, 0);
    EXPECT_EQ(connected, 1);
    run(1s);
    EXPECT_TRUE(at_client_.is_quiet());
}

TEST_F(SimNetworkTest, AStreamMayBeDestroyedInAnyOfItsCallbacks) {
    listening_ = server_->env()
                     .network
                     .listen(kWeb,
                             [&](std::unique_ptr<env::Stream> stream) {
                                 at_server_.listen_to(std::move(stream));
                                 at_server_.stream->write("x");
                                 at_server_.stream->end();
                                 listening_.reset();
                             })
                     .value();
    std::unique_ptr<env::Stream> stream = client_->env().network.connect(kWeb);
    std::string told;
    stream->set_events({.received =
                            [&](std::string_view) {
                                stream.reset();
                                told += "received";
                            },
                        .ended = [&] { told += "ended"; },
                        .closed = [&](const Error&) { told += "closed"; }});
    run(1s);
    EXPECT_EQ(told, "received");
    Heard refused;
    refused.stream = client_->env().network.connect(kWeb);
    refused.stream->set_events({.closed = [&](const Error&) {
        refused.stream.reset();
        told = "closed";
    }});
    run(1s);
    EXPECT_EQ(told, "closed");
}

TEST_F(SimNetworkTest, FramesArriveWholeAndInOrderAndBeforeTheEndOfTheLink) {
    connect_link();
    for (int i = 0; i < 100; ++i) at_client_.link->send(std::to_string(i));
    at_server_.link->send("welcome");
    until([&] { return at_client_.frames.size() == 1; });
    at_client_.link.reset();
    until([&] { return at_server_.closed.size() == 1; });
    ASSERT_EQ(at_server_.frames.size(), 100U);
    for (int i = 0; i < 100; ++i)
        EXPECT_EQ(at_server_.frames[static_cast<std::size_t>(i)], std::to_string(i));
    EXPECT_EQ(at_server_.link->peer().pid, 0U);
}

// The kernel tells a reset before the frames that wait: an answer may be lost with its sender.
TEST_F(SimNetworkTest, ALinkClosedWithFramesUnreadIsResetAndLosesWhatWasOnItsWay) {
    connect_link();
    at_server_.link->send("lost");
    at_client_.link->send("unread");
    at_server_.link.reset();
    until([&] { return at_client_.closed.size() == 1; });
    EXPECT_EQ(at_client_.closed[0].message, "receive: Connection reset by peer");
    EXPECT_TRUE(at_client_.frames.empty());
}

TEST_F(SimNetworkTest, ALinkWhosePeerReadsNothingIsClosedInTheEnd) {
    connect_link();
    server_->pause();
    const std::string frame(env::kDatagramBytesMax, 'x');
    for (int i = 0; i < 600 && at_client_.closed.empty(); ++i) {
        at_client_.link->send(frame);
        run(1ms);
    }
    ASSERT_EQ(at_client_.closed.size(), 1U);
    EXPECT_EQ(at_client_.closed[0].code, Code::Overload);
    EXPECT_TRUE(at_server_.frames.empty());
}

TEST_F(SimNetworkTest, AFrameThatIsTooLargeClosesTheLink) {
    connect_link();
    at_client_.link->send(std::string(env::kDatagramBytesMax + 1, 'x'));
    EXPECT_TRUE(at_client_.closed.empty());
    until([&] { return at_client_.closed.size() == 1 && at_server_.closed.size() == 1; });
}

TEST_F(SimNetworkTest, APartitionDelaysAllAndLosesNothing) {
    connect();
    Heard taken;
    const auto listening = server_->env().network.listen({0x7f000001, 81}, into(taken)).value();
    host_.wires().part("client", "server");
    at_client_.stream->write("one");
    Heard other;
    other.listen_to(client_->env().network.connect({0x7f000001, 81}));
    run(1min);
    EXPECT_EQ(at_server_.text, "");
    EXPECT_EQ(other.connected, 0);
    at_client_.stream->write("two");
    run(1s);
    host_.wires().heal();
    at_client_.stream->write("three");
    until([&] { return at_server_.text == "onetwothree" && other.connected == 1; });
    EXPECT_TRUE(at_client_.closed.empty());
}

TEST_F(SimNetworkTest, CutResetsBothEnds) {
    connect();
    host_.wires().cut("server", "client");
    until([&] { return at_client_.closed.size() == 1 && at_server_.closed.size() == 1; });
    EXPECT_EQ(at_client_.ended, 0);
}

TEST_F(SimNetworkTest, APausedProcessTakesNothingAndThenAll) {
    connect_link();
    server_->pause();
    for (const char* frame : {"1", "2", "3"}) at_client_.link->send(frame);
    run(1min);
    EXPECT_TRUE(at_server_.frames.empty());
    server_->resume();
    at_client_.link->send("4");
    until([&] { return at_server_.frames.size() == 4; });
    EXPECT_EQ(at_server_.frames, (std::vector<std::string>{"1", "2", "3", "4"}));
}

TEST_F(SimNetworkTest, AKilledProcessClosesItsLinksAndSaysNothingMore) {
    connect_link();
    client_->kill();
    at_client_.link->send("from the dead");
    until([&] { return at_server_.closed.size() == 1; });
    EXPECT_TRUE(at_server_.frames.empty());
    EXPECT_TRUE(at_client_.closed.empty());
    Heard dead;
    dead.listen_to(client_->env().network.connect_link("/run/keeper"));
    run(1s);
    EXPECT_TRUE(dead.is_quiet());
    EXPECT_TRUE(at_server_.frames.empty());
    EXPECT_EQ(host_.wires().connections(), 0U);
    EXPECT_FALSE(client_->env().network.listen(kWeb, into(dead)).ok());
}

// Over TCP a death is sometimes an end and sometimes a reset; a client must live with both.
TEST_F(SimNetworkTest, AKilledPeerOverTcpIsAnEndOrAReset) {
    int ended = 0;
    int closed = 0;
    for (int i = 0; i < 40; ++i) {
        Heard server;
        Heard client;
        SimProcess& process = host_.process("service");
        const auto listening = process.env().network.listen(kWeb, into(server)).value();
        client.listen_to(client_->env().network.connect(kWeb));
        until([&] { return server.stream != nullptr && client.connected == 1; });
        process.kill();
        run(1s);
        ended += client.ended;
        closed += static_cast<int>(client.closed.size());
        EXPECT_EQ(client.ended + static_cast<int>(client.closed.size()), 1);
        EXPECT_TRUE(server.closed.empty());
    }
    EXPECT_GT(ended, 0);
    EXPECT_GT(closed, 0);
}

TEST_F(SimNetworkTest, AnInheritedSocketKeepsItsBacklogAcrossADeath) {
    host_.inherit("control", 3, "/run/api");
    host_.inherit("control", 4, kWeb);
    SimProcess* control = &host_.process("control");
    EXPECT_FALSE(control->env().network.listen_inherited(5, into(at_server_)).ok());
    Heard early;
    early.listen_to(client_->env().network.connect_unix("/run/api"));
    early.stream->write("early");
    run(1s);
    EXPECT_EQ(early.connected, 1);
    listening_ = control->env().network.listen_inherited(3, into(at_server_)).value();
    until([&] { return at_server_.text == "early"; });
    control->kill();
    until([&] { return early.closed.size() == 1; });
    Heard late;
    late.listen_to(client_->env().network.connect_unix("/run/api"));
    late.stream->write("late");
    Heard over_tcp;
    over_tcp.listen_to(client_->env().network.connect(kWeb));
    run(1s);
    EXPECT_EQ(over_tcp.connected, 1);
    EXPECT_TRUE(late.closed.empty());
    control = &host_.process("control");
    Heard again;
    const auto listening = control->env().network.listen_inherited(3, into(again)).value();
    until([&] { return again.text == "late"; });
    Heard web;
    const auto listening_web = control->env().network.listen_inherited(4, into(web)).value();
    EXPECT_EQ(listening_web->address(), kWeb);
    until([&] { return web.stream != nullptr; });
}

TEST_F(SimNetworkTest, WhoWaitsInTheBacklogOfADeadListenerIsReset) {
    listening_ = server_->env().network.listen_unix("/run/api", into(at_server_)).value();
    server_->pause();
    at_client_.listen_to(client_->env().network.connect_unix("/run/api"));
    run(1s);
    EXPECT_EQ(at_client_.connected, 1);
    server_->kill();
    until([&] { return at_client_.closed.size() == 1; });
    Heard later;
    later.listen_to(client_->env().network.connect_unix("/run/api"));
    until([&] { return later.closed.size() == 1; });
    EXPECT_EQ(later.closed[0].code, Code::Unavailable);
}

TEST_F(SimNetworkTest, ConnectionsThatAreOverAreForgotten) {
    connect_link();
    for (int i = 0; i < 10; ++i) {
        Heard heard;
        heard.listen_to(client_->env().network.connect_link("/run/keeper"));
        run(1s);
    }
    EXPECT_EQ(host_.wires().connections(), 1U);
}

}  // namespace
}  // namespace thole::sim
