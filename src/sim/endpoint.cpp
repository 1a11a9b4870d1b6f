#include "sim/endpoint.h"

#include <algorithm>
#include <cerrno>

#include "base/bytes.h"
#include "sim/wires.h"

namespace thole::sim {

SimLoop& Endpoint::loop() const { return wires_.loop(); }

void Endpoint::later(std::string_view kind, std::function<void()> call) {
    loop().schedule(Duration::zero(),
                    Event{kind, life_, [self = shared_from_this(), call = std::move(call)] {
                              if (!self->has_left_) call();
                          }});
}

void Endpoint::own(LifePointer life) {
    life_ = std::move(life);
    hand_up_soon();
}

void Endpoint::hand_up_soon() {
    later("hand up", [this] { hand_up(); });
}

void Endpoint::send(Message message) {
    if (const std::shared_ptr<Endpoint> to = other()) to->expect(std::move(message));
}

void Endpoint::expect(Message message) {
    incoming_.push_back(std::move(message));
    // By the world's time, which a reboot does not set back.
    const Time now = loop().world_now();
    last_arrival_ = std::max(now + loop().draw(wires_.delay()), last_arrival_);
    loop().schedule(last_arrival_ - now,
                    Event{"arrive", life_, [self = shared_from_this()] { self->arrive(); }});
}

bool Endpoint::is_held_up() const {
    // One that was accepted after the message had left: its event knew no process.
    if (life_ != nullptr && life_->is_paused) return true;
    const std::shared_ptr<Endpoint> from = other();
    return from != nullptr && life_ != nullptr && from->life_ != nullptr &&
           wires_.are_parted(life_->name, from->life_->name);
}

void Endpoint::retry() {
    if (is_held_up()) return;
    for (std::size_t left = std::exchange(held_up_, 0); left > 0; --left) {
        loop().schedule(Duration::zero(),
                        Event{"arrive", life_, [self = shared_from_this()] { self->arrive(); }});
    }
}

void Endpoint::arrive() {
    if (incoming_.empty()) return;
    if (is_held_up()) {
        ++held_up_;
        return;
    }
    Message message = std::move(incoming_.front());
    incoming_.pop_front();
    loop().note("message", life_ == nullptr ? "" : life_->name, fnv1a(message.bytes));
    if (has_left_) {
        // A closed TCP socket answers bytes with a reset.
        if (shape_ == Shape::Tcp && message.kind == Message::Kind::Bytes)
            send({.kind = Message::Kind::Reset, .error = ECONNRESET});
        return;
    }
    // Who reads nothing learns at once that it broke, and never what it had not read.
    const bool is_over = message.kind != Message::Kind::Bytes && may_take(message);
    if (is_over && life_ != nullptr && !inbox_.empty() && !may_take(inbox_.front())) inbox_.clear();
    inbox_.push_back(std::move(message));
    hand_up();
}

void Endpoint::hand_up() {
    const std::shared_ptr<Endpoint> self = shared_from_this();
    while (!inbox_.empty() && !has_left_ && life_ != nullptr && may_take(inbox_.front())) {
        Message message = std::move(inbox_.front());
        inbox_.pop_front();
        const std::size_t size = message.bytes.size();
        if (const std::shared_ptr<Endpoint> from = other(); from != nullptr && size > 0)
            from->on_taken(size);
        take(std::move(message));
    }
}

Message Endpoint::farewell() const {
    // What was sent to us and never read is told by a reset, as the kernel does. Over TCP only what
    // has arrived counts here; the rest is answered when it comes.
    bool is_unread = false;
    const auto holds_bytes = [](const Message& message) { return !message.bytes.empty(); };
    is_unread = std::any_of(inbox_.begin(), inbox_.end(), holds_bytes);
    if (shape_ != Shape::Tcp)
        is_unread |= std::any_of(incoming_.begin(), incoming_.end(), holds_bytes);
    if (is_unread) return {.kind = Message::Kind::Reset, .error = ECONNRESET};
    return {.kind = shape_ == Shape::Tcp ? Message::Kind::End : Message::Kind::Hangup};
}

void Endpoint::leave() {
    if (has_left_) return;
    const std::shared_ptr<Endpoint> self = shared_from_this();
    has_left_ = true;
    wires_.forget(*this);
    const std::shared_ptr<Endpoint> to = other();
    if (to == nullptr) return;
    Message last = farewell();
    if (shape_ != Shape::Tcp) incoming_.clear();
    // A seqpacket socket tells the reset before the frames that wait.
    if (shape_ == Shape::Link && last.kind == Message::Kind::Reset) {
        to->incoming_.clear();
        to->held_up_ = 0;
    }
    inbox_.clear();
    to->expect(std::move(last));
}

void Endpoint::vanish() {
    silence();
    leave();
}

void Endpoint::kill() {
    // Over TCP a death looks like an end to some peers and like a reset to others.
    if (shape_ == Shape::Tcp && !has_left_ && loop().random().chance(0.5))
        send({.kind = Message::Kind::Reset, .error = ECONNRESET});
    vanish();
}

void Endpoint::break_off() {
    const std::shared_ptr<Endpoint> to = other();
    for (const std::shared_ptr<Endpoint>& end : {shared_from_this(), to}) {
        if (end != nullptr && !end->has_left_)
            end->expect({.kind = Message::Kind::Reset, .error = ECONNRESET});
    }
}

}  // namespace thole::sim
