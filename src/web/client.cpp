#include "web/client.h"

#include <array>
#include <optional>

#include "http/body.h"
#include "http/emit.h"
#include "http/grammar.h"
#include "http/head.h"

namespace thole::web {
namespace {

constexpr int kInterimMax = 16;  // Answers of 1xx before the real one.

// The whole request as it goes out; what would not be read as it was meant is refused.
Result<std::string> request_bytes(const Request& request) {
    std::vector<http::OwnField> fields;
    for (const auto& [name, value] : request.fields) {
        if (!http::is_token(name)) return invalid("'" + name + "' is no name of a field");
        fields.push_back({.name = http::OwnName::of(name), .value = value});
    }
    http::RequestHead head;
    head.method = request.method;
    head.path = request.target;
    head.host = request.host;
    head.length = request.body.size();
    const bool may_be_empty = request.method == "GET" || request.method == "HEAD" ||
                              request.method == "DELETE" || request.method == "OPTIONS";
    if (!request.body.empty() || !may_be_empty) head.framing = http::Framing::Length;
    http::Edits edits;
    edits.set = fields;
    edits.persistence = http::Persistence::Close;
    std::string bytes(http::kHeadBytesMax, '\0');
    const std::optional<std::size_t> size = http::emit_request_head(head, edits, bytes);
    if (!size) return invalid("the request has no host, or its head is too long");
    bytes.resize(*size);
    http::RequestHead read;
    const http::HeadResult result = http::parse_request_head(bytes, read);
    const bool is_same = result.state == http::HeadState::Done && result.bytes == *size &&
                         read.method == request.method && read.target == request.target &&
                         read.host == request.host;
    if (!is_same) {
        const std::string rule(http::text_of(result.rule).id);
        return invalid(request.method + " " + request.target + " is no request" +
                       (rule.empty() ? "" : ": " + rule));
    }
    return bytes + request.body;
}

Error no_http(http::Rule rule) {
    const http::RuleText& text = http::text_of(rule);
    return corrupt("the answer is no HTTP: " + std::string(text.id) + ", " +
                   std::string(text.reason));
}

std::string lower(std::string_view name) {
    std::string text(name);
    for (char& c : text) c = http::to_lower(c);
    return text;
}

// A value that went on in the next line, in one.
std::string unfolded(std::string_view value) {
    std::string text(value);
    for (char& c : text) c = http::is_value_byte(c) ? c : ' ';
    return text;
}

class StreamExchange final : public Exchange {
public:
    StreamExchange(env::Env& env, std::unique_ptr<env::Stream> stream, ExchangeOptions options)
        : env_(env),
          stream_(std::move(stream)),
          limits_(options.limits),
          done_(std::move(options.events.done)),
          on_part_(std::make_shared<std::function<void(std::string_view)>>(
              std::move(options.events.on_part))) {}
    ~StreamExchange() override { *alive_ = false; }

    void start(const Request& request) {
        Result<std::string> bytes = request_bytes(request);
        if (!bytes.ok()) {
            timer_ = env_.timers.after(Duration::zero(),
                                       [this, error = bytes.error()] { finish(error); });
            return;
        }
        method_ = request.method;
        stream_->set_events({.received = [this](std::string_view got) { on_received(got); },
                             .ended = [this] { on_ended(); },
                             .closed = [this](const Error& error) { finish(error); }});
        stream_->write(*bytes);
        if (limits_.whole != kForever)
            timer_ = env_.timers.after(limits_.whole, [this] { on_time(); });
    }

private:
    void on_received(std::string_view bytes) {
        if (has_head_) {
            read_body(bytes);
            return;
        }
        in_.append(bytes);
        while (!has_head_) {
            if (!read_head()) return;
        }
        // A part's view must outlive this, as its receiver may destroy us.
        const std::string rest = std::exchange(in_, {});
        read_body(rest);
    }

    // False where more is needed, or all is over and `this` may be gone.
    bool read_head() {
        const http::HeadResult found = http::find_head_end(in_, looked_);
        if (found.state == http::HeadState::NeedMore) {
            looked_ = found.bytes;
            return false;
        }
        http::ResponseHead head;
        const http::HeadResult result =
            http::parse_response_head(in_, http::Asked{.method = method_}, head);
        if (result.state != http::HeadState::Done) {
            finish(no_http(result.rule));
            return false;
        }
        if (head.status >= 200) {
            take_head(head);
        } else if (++interim_ > kInterimMax) {
            finish(corrupt("the answer never begins: only " + std::to_string(head.status)));
            return false;
        }
        in_.erase(0, result.bytes);
        looked_ = 0;
        return true;
    }

    void take_head(const http::ResponseHead& head) {
        has_head_ = true;
        response_.status = head.status;
        for (const http::Field& field : head.all())
            response_.fields.emplace_back(lower(field.name), unfolded(field.value));
        decoder_ = http::BodyDecoder(head);
        is_streamed_ = *on_part_ != nullptr && head.status < 300;
    }

    void read_body(std::string_view rest) {
        const std::shared_ptr<bool> alive = alive_;
        while (decoder_.state() == http::BodyState::NeedMore && !rest.empty()) {
            const http::Fed fed = decoder_.decode(rest);
            rest.remove_prefix(fed.consumed);
            if (fed.piece.empty()) continue;
            if (is_streamed_) {
                const auto on_part = on_part_;
                (*on_part)(fed.piece);
                if (!*alive) return;
            } else if (fed.piece.size() > limits_.body_bytes_max - response_.body.size()) {
                finish(overload("the answer is longer than " +
                                std::to_string(limits_.body_bytes_max) + " bytes"));
                return;
            } else {
                response_.body.append(fed.piece);
            }
        }
        if (decoder_.state() == http::BodyState::Bad) {
            finish(no_http(decoder_.rule()));
        } else if (decoder_.state() == http::BodyState::Done) {
            finish(std::move(response_));
        }
    }

    void on_ended() {
        if (!has_head_) {
            finish(unavailable(in_.empty() ? "closed without an answer"
                                           : "closed within the answer's head"));
        } else if (decoder_.end_of_input() == http::BodyState::Done) {
            finish(std::move(response_));
        } else {
            finish(unavailable("closed within the answer's body"));
        }
    }

    void on_time() {
        const std::string limit = format_duration(limits_.whole);
        finish(timed_out((has_head_ ? "no whole answer within " : "no answer within ") + limit));
    }

    // Destroys the stream that may be calling us; `done` may destroy us.
    void finish(Result<Response> result) {
        timer_.cancel();
        stream_.reset();
        const std::function<void(Result<Response>)> done = std::move(done_);
        if (done) done(std::move(result));
    }

    env::Env& env_;
    std::unique_ptr<env::Stream> stream_;
    ExchangeLimits limits_;
    std::function<void(Result<Response>)> done_;
    std::shared_ptr<std::function<void(std::string_view)>> on_part_;  // Held while it runs.
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    env::Timer timer_;
    std::string method_;
    std::string in_;  // Of heads.
    std::size_t looked_ = 0;
    int interim_ = 0;
    Response response_;
    http::BodyDecoder decoder_;
    bool has_head_ = false;
    bool is_streamed_ = false;
};

}  // namespace

std::string_view Response::field(std::string_view name) const {
    for (const auto& [key, value] : fields) {
        if (key == name) return value;
    }
    return {};
}

std::unique_ptr<Exchange> start_exchange(env::Env& env, std::unique_ptr<env::Stream> stream,
                                         const Request& request, ExchangeOptions options) {
    auto exchange = std::make_unique<StreamExchange>(env, std::move(stream), std::move(options));
    exchange->start(request);
    return exchange;
}

}  // namespace thole::web
