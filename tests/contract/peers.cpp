#include "peers.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "base/parse.h"

namespace thole::contract {
namespace {

constexpr std::string_view kHeadEnd = "\r\n\r\n";

std::string in_lower_case(std::string text) {
    for (char& c : text) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return text;
}

std::size_t read_number(std::string_view text) {
    const Result<std::int64_t> number = parse_integer(text, 0, 1'000'000);
    EXPECT_TRUE(number.ok()) << text;
    return number ? static_cast<std::size_t>(*number) : 0;
}

std::uint64_t read_hex(std::string_view text) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::uint64_t number = 0;
    for (const char c : text) number = number << 4 | (kDigits.find(c) & 15);
    return number;
}

}  // namespace

Peer::Peer(std::unique_ptr<env::Stream> stream, std::function<void()> changed)
    : stream_(std::move(stream)), changed_(std::move(changed)) {
    const auto over = [this] {
        is_over_ = true;
        changed_();
    };
    stream_->set_events({.received =
                             [this](std::string_view bytes) {
                                 bytes_.append(bytes);
                                 changed_();
                             },
                         .ended = over,
                         .closed = [over](const Error&) { over(); }});
}

bool Peer::take(Message& message) {
    const std::size_t end = bytes_.find(kHeadEnd);
    if (end == std::string::npos) return false;
    message = {};
    std::size_t at = bytes_.find("\r\n");
    message.first_line = bytes_.substr(0, at);
    while (at < end) {
        const std::size_t begin = at + 2;
        at = bytes_.find("\r\n", begin);
        const std::string line = bytes_.substr(begin, at - begin);
        const std::size_t colon = line.find(": ");
        if (colon == std::string::npos) continue;
        message.fields[in_lower_case(line.substr(0, colon))] = line.substr(colon + 2);
    }
    const auto length = message.fields.find("content-length");
    const std::size_t body = length == message.fields.end() ? 0 : read_number(length->second);
    if (bytes_.size() < end + kHeadEnd.size() + body) return false;
    bytes_.erase(0, end + kHeadEnd.size() + body);
    return true;
}

Instance::Instance(env::Env& env) {
    auto made = env.network.listen({}, [this](std::unique_ptr<env::Stream> stream) {
        const std::size_t number = peers_.size();
        peers_.push_back(
            std::make_unique<Peer>(std::move(stream), [this, number] { serve(*peers_[number]); }));
    });
    CHECK(made.ok());
    listening_ = std::move(*made);
}

// The target says what is wanted: /now/<request> or /waits/<request>.
void Instance::serve(Peer& peer) {
    Peer::Message message;
    while (peer.take(message)) {
        const std::string& line = message.first_line;
        const std::size_t begin = line.rfind('/', line.rfind(' ') - 1) + 1;
        const std::size_t request =
            read_number(std::string_view(line).substr(begin, line.rfind(' ') - begin));
        const std::string& id = message.fields["x-request-id"];
        EXPECT_EQ(id.size(), 32U);
        arrivals_.push_back({request, {read_hex(id.substr(0, 16)), read_hex(id.substr(16))}});
        waiting_[request] = &peer;
        if (line.find(" /now/") != std::string::npos) answer(request);
    }
}

void Instance::answer(std::size_t request) {
    const auto found = waiting_.find(request);
    if (found == waiting_.end()) return;
    found->second->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    waiting_.erase(found);
}

void Instance::die() {
    listening_.reset();
    waiting_.clear();
    peers_.clear();
}

std::size_t Clients::ask(const Ask& ask, std::uint16_t port) {
    const std::size_t request = seen_.size();
    seen_.push_back(kOpen);
    Connection& connection = connection_for(ask, port);
    EXPECT_FALSE(connection.is_waiting) << "one request at a time on a connection";
    connection.request = request;
    connection.is_waiting = true;
    connection.peer->send(
        fmt::format("POST /{}/{} HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{}",
                    ask.instance == Ask::Instance::Waits ? "waits" : "now", request, ask.body_bytes,
                    std::string(ask.body_bytes, 'x')));
    return request;
}

Clients::Connection& Clients::connection_for(const Ask& ask, std::uint16_t port) {
    const auto kept = kept_.find(ask.connection);
    if (kept != kept_.end() && !kept->second->peer->is_over()) return *kept->second;
    connections_.push_back(std::make_unique<Connection>());
    Connection& connection = *connections_.back();
    connection.peer = std::make_unique<Peer>(env_.network.connect({.port = port}),
                                             [this, &connection] { look(connection); });
    if (ask.connection != kNewConnection) kept_[ask.connection] = &connection;
    return connection;
}

void Clients::look(Connection& connection) {
    Peer::Message message;
    int how = kOpen;
    if (connection.peer->take(message)) {
        // "HTTP/1.1 200 OK"
        how = static_cast<int>(read_number(std::string_view(message.first_line).substr(9, 3)));
    } else if (connection.peer->is_over()) {
        how = kClosed;
    }
    if (how == kOpen || !connection.is_waiting) return;
    connection.is_waiting = false;
    seen_[connection.request] = how;
}

}  // namespace thole::contract
