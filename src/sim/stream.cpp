#include "sim/stream.h"

#include <algorithm>
#include <cerrno>

#include "sim/wires.h"

namespace thole::sim {
namespace {

// What the kernels at both ends hold for a peer that does not read.
constexpr std::size_t kHeldBytesMax = 256 * 1024;
constexpr std::size_t kPieceBytesMax = 64 * 1024;

class SimStream final : public env::Stream {
public:
    explicit SimStream(std::shared_ptr<StreamEnd> end) : end_(std::move(end)) {}
    ~SimStream() override { end_->vanish(); }
    void set_events(env::StreamEvents events) override {
        if (!end_->has_left()) end_->set_events(std::move(events));
    }
    void write(std::string_view bytes) override { end_->write(bytes); }
    void end() override { end_->end(); }
    void pause() override { end_->pause(); }
    void resume() override { end_->resume(); }
    std::size_t unsent_bytes() const override { return end_->unsent_bytes(); }
    env::Peer peer() const override { return end_->has_left() ? env::Peer{} : end_->peer(); }

private:
    std::shared_ptr<StreamEnd> end_;
};

}  // namespace

std::unique_ptr<env::Stream> make_stream(std::shared_ptr<StreamEnd> end) {
    return std::make_unique<SimStream>(std::move(end));
}

void StreamEnd::write(std::string_view bytes) {
    if (has_left() || has_ended_) return;
    unsent_.append(bytes);
    flush_later();
}

void StreamEnd::end() {
    if (has_left() || has_ended_) return;
    has_ended_ = true;
    flush_later();
}

void StreamEnd::resume() {
    is_paused_ = false;
    if (!has_left()) hand_up_soon();
}

void StreamEnd::flush_later() {
    if (is_connecting_ || flush_waits_) return;
    flush_waits_ = true;
    later("flush", [this] {
        flush_waits_ = false;
        flush();
    });
}

// Bytes arrive in pieces that nobody can foresee.
std::size_t StreamEnd::next_size() {
    Random& random = loop().random();
    const std::size_t room = std::min(kHeldBytesMax - not_taken_, kPieceBytesMax);
    const std::size_t whole = std::min(unsent_.size(), room);
    return whole > 1 && random.chance(0.25) ? 1 + random.below(whole) : whole;
}

void StreamEnd::flush() {
    const std::shared_ptr<Endpoint> to = other();
    if (shape() == Shape::Unix && (to == nullptr || to->has_left()) && !unsent_.empty()) {
        close(from_errno(EPIPE, "send"));
        return;
    }
    while (!unsent_.empty() && not_taken_ < kHeldBytesMax) {
        const std::size_t size = next_size();
        send({.kind = Message::Kind::Bytes, .bytes = unsent_.substr(0, size)});
        unsent_.erase(0, size);
        not_taken_ += size;
    }
    if (!unsent_.empty()) return;
    if (has_ended_ && !has_shut_) {
        has_shut_ = true;
        send({.kind = Message::Kind::End});
        if (peer_ended_) {
            close(unavailable("both sides have ended"));
            return;
        }
        if (is_paused_) hand_up_soon();
    }
    if (const std::function<void()> drained = events_.drained) drained();
}

void StreamEnd::on_taken(std::size_t size_bytes) {
    not_taken_ -= std::min(not_taken_, size_bytes);
    if (!has_left() && !unsent_.empty()) flush_later();
}

bool StreamEnd::may_take(const Message& message) const {
    switch (message.kind) {
        case Message::Kind::Connected:
        case Message::Kind::Refused: return true;
        case Message::Kind::Bytes: return !is_paused_;
        // The kernel tells these to whoever reads nothing, too: that both sides have ended, it
        // hung up, it broke.
        case Message::Kind::End: return !is_paused_ || has_shut_;
        case Message::Kind::Hangup:
        case Message::Kind::Reset: return true;
    }
    return false;
}

void StreamEnd::take(Message message) {
    switch (message.kind) {
        case Message::Kind::Connected:
            is_connecting_ = false;
            if (!unsent_.empty() || has_ended_) flush_later();
            if (const std::function<void()> connected = events_.connected) connected();
            return;
        case Message::Kind::Refused: close(refusal(message)); return;
        case Message::Kind::Reset:
            close(from_errno(message.error, is_paused_ || peer_ended_ ? "connection" : "receive"));
            return;
        case Message::Kind::Bytes:
            if (const std::function<void(std::string_view)> received = events_.received)
                received(message.bytes);
            return;
        case Message::Kind::End:
        case Message::Kind::Hangup: take_end(message.kind); return;
    }
}

void StreamEnd::take_end(Message::Kind kind) {
    if (is_paused_) {
        close(from_errno(ECONNRESET, "connection"));
        return;
    }
    if (kind == Message::Kind::Hangup) {
        // Told in the next turn, as a loop sees first the end and then that it hung up.
        later("hang up", [this] { close(from_errno(ECONNRESET, "connection")); });
    }
    if (std::exchange(peer_ended_, true)) return;
    if (const std::function<void()> ended = events_.ended) ended();
    if (!has_left() && has_ended_ && unsent_.empty()) close(unavailable("the peer has ended"));
}

void StreamEnd::close(const Error& error) {
    if (std::exchange(is_closed_, true)) return;
    const std::function<void(const Error&)> closed = std::move(events_.closed);
    silence();
    leave();
    if (closed) closed(error);
}

}  // namespace thole::sim
