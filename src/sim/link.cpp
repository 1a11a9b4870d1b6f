#include "sim/link.h"

#include <algorithm>
#include <cerrno>

#include "sim/wires.h"

namespace thole::sim {
namespace {

constexpr std::size_t kUnsentBytesMax = 64 * 1024 * 1024;
// The default send buffer of a unix socket on Linux.
constexpr std::size_t kHeldBytesMax = 212'992;

class SimLink final : public env::Link {
public:
    explicit SimLink(std::shared_ptr<LinkEnd> end) : end_(std::move(end)) {}
    ~SimLink() override { end_->vanish(); }
    void set_events(env::LinkEvents events) override {
        if (!end_->has_left()) end_->set_events(std::move(events));
    }
    void send(std::string frame) override { end_->send_frame(std::move(frame)); }
    env::Peer peer() const override { return end_->has_left() ? env::Peer{} : end_->peer(); }

private:
    std::shared_ptr<LinkEnd> end_;
};

}  // namespace

std::unique_ptr<env::Link> make_link(std::shared_ptr<LinkEnd> end) {
    return std::make_unique<SimLink>(std::move(end));
}

void LinkEnd::send_frame(std::string frame) {
    if (has_left() || is_closing_) return;
    if (frame.size() > env::kDatagramBytesMax) {
        close_later(from_errno(EMSGSIZE, "send"));
        return;
    }
    unsent_bytes_ += frame.size();
    unsent_.push_back(std::move(frame));
    if (unsent_bytes_ > kUnsentBytesMax) {
        close_later(overload("the peer does not read"));
        return;
    }
    flush();
}

void LinkEnd::flush() {
    while (!unsent_.empty() &&
           (not_taken_ == 0 || not_taken_ + unsent_.front().size() <= kHeldBytesMax)) {
        std::string frame = std::move(unsent_.front());
        unsent_.pop_front();
        unsent_bytes_ -= frame.size();
        not_taken_ += frame.size();
        send({.kind = Message::Kind::Bytes, .bytes = std::move(frame)});
    }
}

void LinkEnd::on_taken(std::size_t size_bytes) {
    not_taken_ -= std::min(not_taken_, size_bytes);
    if (!has_left() && !unsent_.empty()) later("flush", [this] { flush(); });
}

void LinkEnd::take(Message message) {
    switch (message.kind) {
        case Message::Kind::Bytes:
            // An empty datagram reads like the end.
            if (message.bytes.empty()) {
                close(unavailable("the peer closed the link"));
            } else if (const std::function<void(std::string_view)> received = events_.received) {
                received(message.bytes);
            }
            return;
        case Message::Kind::Connected: return;
        case Message::Kind::Refused: close(refusal(message)); return;
        case Message::Kind::End:
        case Message::Kind::Hangup: close(unavailable("the peer closed the link")); return;
        case Message::Kind::Reset: close(from_errno(message.error, "receive")); return;
    }
}

void LinkEnd::close_later(Error error) {
    is_closing_ = true;
    later("close", [this, error = std::move(error)] { close(error); });
}

void LinkEnd::close(const Error& error) {
    if (has_left()) return;
    const std::function<void(const Error&)> closed = std::move(events_.closed);
    silence();
    leave();
    if (closed) closed(error);
}

}  // namespace thole::sim
