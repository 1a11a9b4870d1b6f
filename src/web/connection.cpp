#include "web/connection.h"

#include <array>

#include "base/check.h"
#include "http/emit.h"
#include "web/refusal.h"
#include "web/target.h"

namespace thole::web {
namespace {

// More unread than this is a client that stopped reading, or reads too slowly for a live stream.
constexpr std::size_t kUnsentBytesMax = 4 * 1024 * 1024;
// RFC 9112 section 9.6: so that a last answer is not lost to a reset.
constexpr Duration kLinger = std::chrono::seconds(1);
constexpr std::size_t kAnswerHeadBytesMax = 1024;  // A handful of short fields, all ours.

bool has_body(std::uint16_t status) { return status != 204 && status != 304; }

Code code_of(std::uint16_t status) {
    if (status == 408) return Code::Timeout;
    return status == 413 || status == 414 || status == 431 ? Code::Overload : Code::Invalid;
}

Error body_too_long(std::size_t most) {
    return overload("the body is longer than " + std::to_string(most) + " bytes");
}

}  // namespace

void Connection::start() {
    stream_->set_events({.received = [this](std::string_view bytes) { on_received(bytes); },
                         .ended = [this] { on_ended(); },
                         .drained = [this] { on_drained(); },
                         .closed = [this](const Error&) { leave(); }});
    wait(house_->options.head_limit);
}

// --- Reading -------------------------------------------------------------------------------------

void Connection::on_received(std::string_view bytes) {
    const std::shared_ptr<Connection> self = shared_from_this();
    if (stage_ == Stage::Closing) return;
    if (stage_ == Stage::Head && in_.empty()) wait(house_->options.head_limit);
    if (stage_ == Stage::Body) wait(house_->options.idle_limit);
    in_.append(bytes);
    if (stage_ == Stage::Asked) {
        // Read on until then: only so is it noticed that a client leaves.
        stream_->pause();
        return;
    }
    advance();
}

void Connection::on_ended() {
    const std::shared_ptr<Connection> self = shared_from_this();
    peer_ended_ = true;
    if (stage_ == Stage::Head || stage_ == Stage::Body) advance();
}

void Connection::on_drained() {
    if (stage_ == Stage::Closing) wait(kLinger);
}

void Connection::advance() {
    const std::shared_ptr<Connection> self = shared_from_this();
    if (stage_ == Stage::Head && !read_head()) return;
    if (stage_ == Stage::Body) read_body();
}

bool Connection::read_head() {
    const http::HeadResult found = http::find_head_end(in_, looked_);
    if (found.state == http::HeadState::NeedMore) {
        looked_ = found.bytes;
        starve();
        return false;
    }
    http::RequestHead head;
    const http::HeadResult result = http::parse_request_head(in_, head);
    if (result.state != http::HeadState::Done) {
        refuse_rule(result.rule, result.status);
        return false;
    }
    take_head(head);
    if (stage_ != Stage::Body) return false;
    in_.erase(0, result.bytes);
    if (head.expect_continue && in_.empty() && decoder_.state() == http::BodyState::NeedMore)
        write("HTTP/1.1 100 Continue\r\n\r\n");
    return true;
}

// Copies what is needed of the head, which is only a view of in_.
void Connection::take_head(const http::RequestHead& head) {
    is_head_ = head.method == "HEAD";
    keeps_ = head.keep_alive;
    version_minor_ = head.version_minor;
    Result<TargetParts> parts = split_target(head.path);
    if (!parts.ok()) {
        refuse(400, parts.error());
        return;
    }
    const std::size_t most = house_->options.body_bytes_max;
    if (head.framing == http::Framing::Length && head.length > most) {
        refuse(413, body_too_long(most));
        return;
    }
    request_.method = is_head_ ? "GET" : std::string(head.method);
    request_.path = std::move(parts->path);
    request_.query = std::move(parts->query);
    if (const http::Field* const accept = head.find("accept"); accept != nullptr)
        request_.accept = accept->value;
    request_.peer = stream_->peer();
    decoder_ = http::BodyDecoder(head);
    stage_ = Stage::Body;
    wait(house_->options.idle_limit);
}

void Connection::read_body() {
    const std::size_t most = house_->options.body_bytes_max;
    std::string_view rest = in_;
    while (decoder_.state() == http::BodyState::NeedMore && !rest.empty()) {
        const http::Fed fed = decoder_.decode(rest);
        rest.remove_prefix(fed.consumed);
        if (fed.piece.size() > most - request_.body.size()) {
            refuse(413, body_too_long(most));
            return;
        }
        request_.body.append(fed.piece);
    }
    in_.erase(0, in_.size() - rest.size());
    switch (decoder_.state()) {
        case http::BodyState::NeedMore: starve(); break;
        case http::BodyState::Bad:
            refuse_rule(decoder_.rule(), http::text_of(decoder_.rule()).status);
            break;
        case http::BodyState::Done: ask(); break;
    }
}

void Connection::ask() {
    stage_ = Stage::Asked;
    timer_.cancel();
    if (!in_.empty()) stream_->pause();
    const ServerRequest request = std::exchange(request_, {});
    const std::shared_ptr<Responder::Target> target = std::make_shared<Responder::Target>();
    target->connection = weak_from_this();
    house_->handler(request, Responder(target));
}

// More is needed; where nothing more comes, that was all.
void Connection::starve() {
    if (peer_ended_) close();
}

void Connection::on_time() {
    const std::shared_ptr<Connection> self = shared_from_this();
    if (stage_ != Stage::Body && stream_->unsent_bytes() > 0) {
        // Slow is not silent.
        if (takes_what_we_send()) {
            wait(house_->options.idle_limit);
        } else {
            leave();
        }
        return;
    }
    if (stage_ == Stage::Asked) {
        wait(house_->options.idle_limit);
    } else if (stage_ == Stage::Closing || (stage_ == Stage::Head && in_.empty())) {
        leave();
    } else {
        refuse(408, timed_out("the request did not arrive in time"));
    }
}

// --- Answering -----------------------------------------------------------------------------------

void Connection::answer(std::uint16_t status, std::string_view body,
                        std::string_view content_type) {
    if (stage_ != Stage::Asked) return;
    write_head(status, content_type, http::Framing::Length, body.size());
    if (!is_head_ && has_body(status)) write(body);
    go_on();
}

bool Connection::begin(std::uint16_t status, std::string_view content_type) {
    CHECK(has_body(status));
    if (stage_ != Stage::Asked) return false;
    const bool is_old = version_minor_ == 0;
    if (is_old) keeps_ = false;
    write_head(status, content_type, is_old ? http::Framing::UntilClose : http::Framing::Chunked,
               0);
    if (is_head_) {
        go_on();
        return false;
    }
    is_streaming_ = true;
    wait(house_->options.idle_limit);
    return true;
}

void Connection::part(std::string_view bytes) {
    if (stage_ != Stage::Asked || bytes.empty()) return;
    if (stream_->unsent_bytes() > kUnsentBytesMax) {
        leave();
        return;
    }
    if (version_minor_ == 0) {
        write(bytes);
        return;
    }
    std::array<char, 20> size{};
    write({size.data(), http::emit_chunk_size(bytes.size(), size)});
    write(bytes);
    write(http::kChunkEnd);
}

void Connection::end() {
    if (stage_ != Stage::Asked) return;
    if (version_minor_ != 0) write(http::kLastChunk);
    go_on();
}

// Who has closed its sending side may still wait for an answer; a live stream's client has left.
bool Connection::is_open() const {
    return stage_ == Stage::Asked && !(is_streaming_ && peer_ended_) &&
           stream_->unsent_bytes() <= kUnsentBytesMax;
}

void Connection::refuse(std::uint16_t status, const Error& error) {
    keeps_ = false;
    const std::string body = refusal_of(error);
    write_head(status, "application/json", http::Framing::Length, body.size());
    if (!is_head_) write(body);
    close();
}

void Connection::refuse_rule(http::Rule rule, std::uint16_t status) {
    const http::RuleText& text = http::text_of(rule);
    const std::string message =
        "the request is no HTTP that is taken here: " + std::string(text.id) + ", " +
        std::string(text.reason);
    refuse(status, {code_of(status), message, {}});
}

// After an answer. The next request is never begun inside the call that answered this one.
void Connection::go_on() {
    is_streaming_ = false;
    is_head_ = false;
    if (!keeps_) {
        close();
        return;
    }
    stage_ = Stage::Head;
    looked_ = 0;
    stream_->resume();
    wait(in_.empty() ? house_->options.idle_limit : house_->options.head_limit);
    if (!in_.empty() || peer_ended_)
        next_ = house_->env.timers.after(Duration::zero(), [this] { advance(); });
}

void Connection::close() {
    stage_ = Stage::Closing;
    in_.clear();
    next_.cancel();
    stream_->resume();
    stream_->end();
    wait(stream_->unsent_bytes() > 0 ? house_->options.idle_limit : kLinger);
}

void Connection::leave() {
    const std::shared_ptr<Connection> self = shared_from_this();
    stage_ = Stage::Gone;
    timer_.cancel();
    next_.cancel();
    stream_.reset();
    house_->connections.erase(id_);
}

void Connection::write(std::string_view bytes) {
    written_ += bytes.size();
    stream_->write(bytes);
}

void Connection::write_head(std::uint16_t status, std::string_view content_type,
                            http::Framing framing, std::size_t length) {
    CHECK(status >= 200 && status <= 599);
    http::ResponseHead head;
    head.status = status;
    head.framing = has_body(status) ? framing : http::Framing::None;
    head.length = length;
    const http::OwnField type{.name = "Content-Type", .value = content_type};
    http::Edits edits;
    if (has_body(status) && !content_type.empty()) edits.set = {&type, 1};
    if (!keeps_) {
        edits.persistence = http::Persistence::Close;
    } else if (version_minor_ == 0) {
        edits.persistence = http::Persistence::KeepAlive;
    }
    std::array<char, kAnswerHeadBytesMax> bytes{};
    const std::optional<std::size_t> size = http::emit_response_head(head, edits, bytes);
    CHECK(size.has_value());
    write({bytes.data(), *size});
}

void Connection::wait(Duration limit) {
    timer_ = house_->env.timers.after(limit, [this] { on_time(); });
}

// Whether the client took anything since the last look.
bool Connection::takes_what_we_send() {
    const std::uint64_t taken = written_ - stream_->unsent_bytes();
    return std::exchange(taken_, taken) < taken;
}

}  // namespace thole::web
