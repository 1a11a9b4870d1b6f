#include "follower.h"

#include <fmt/format.h>

#include "base/json.h"
#include "folders.h"

namespace thole::simulation {
namespace {
using namespace std::chrono_literals;
constexpr Duration kAskAgain = 100ms;
}  // namespace

Follower::Follower(sim::SimHost& host, Story& story, std::function<void(std::string_view)> said)
    : host_(host), story_(story), said_(std::move(said)) {}

void Follower::begin(env::Owner owner) {
    exchange_.reset();
    process_ = &host_.process("follower", {.owner = owner});
    ask();
}

void Follower::ask() {
    unread_.clear();
    is_first_ = true;
    web::Request request;
    request.target = fmt::format("/api/v1/timeline?watch=1&after={}", last_);
    web::ExchangeOptions options;
    options.limits.whole = kForever;
    options.events.on_part = [this](std::string_view part) { heard(part); };
    options.events.done = [this](const Result<web::Response>&) {
        again_ = process_->env().timers.after(kAskAgain, [this] { ask(); });
    };
    env::Env& env = process_->env();
    exchange_ = web::start_exchange(env, env.network.connect_unix(std::string(kRun) + "/api.sock"),
                                    request, std::move(options));
}

void Follower::heard(std::string_view part) {
    unread_ += part;
    while (unread_.find('\n') != std::string::npos) {
        const std::string line = unread_.substr(0, unread_.find('\n'));
        unread_.erase(0, line.size() + 1);
        if (!line.empty()) heard_row(line);
    }
}

// What was said and is not on the disk yet dies with control, and its numbers are used again: only
// the rows of one connection follow each other.
void Follower::heard_row(const std::string& line) {
    const Result<Json> row = parse_json(line);
    const Result<std::int64_t> sequence = row ? row->integer_at("sequence") : row.error();
    const Result<std::string> kind = row ? row->text_at("kind") : row.error();
    if (!sequence || !kind) return story_.fail("the timeline says: " + line);
    if (!is_first_ && *sequence != last_ + 1)
        return story_.fail(
            fmt::format("who follows the timeline hears {} after {}", *sequence, last_));
    is_first_ = false;
    last_ = *sequence;
    said_(*kind);
}

}  // namespace thole::simulation
