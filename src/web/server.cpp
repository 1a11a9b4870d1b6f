#include "web/server.h"

#include "base/check.h"
#include "web/connection.h"
#include "web/refusal.h"

namespace thole::web {
namespace {

// So many clients above the limit are told so; more are closed without a word.
constexpr std::size_t kTurnedAwayMax = 16;

}  // namespace

std::string_view ServerRequest::parameter(std::string_view name) const {
    for (const auto& [key, value] : query) {
        if (key == name) return value;
    }
    return {};
}

// --- Responder -----------------------------------------------------------------------------------

Responder::Target::~Target() {
    const std::shared_ptr<Connection> to = connection.lock();
    if (to == nullptr) return;
    if (stage == Stage::Waiting) {
        const Error error = corrupt("the request was dropped without an answer: a fault of thole");
        to->answer(500, refusal_of(error), "application/json");
    } else if (stage == Stage::Streaming) {
        to->leave();
    }
}

void Responder::answer(std::uint16_t status, std::string_view body,
                       std::string_view content_type) const {
    CHECK(target_->stage == Target::Stage::Waiting);
    target_->stage = Target::Stage::Done;
    const std::shared_ptr<Connection> to = target_->connection.lock();
    if (to != nullptr) to->answer(status, body, content_type);
}

void Responder::refuse(const Error& error) const {
    if (target_->stage == Target::Stage::Waiting) {
        answer(status_of(error.code), refusal_of(error));
        return;
    }
    const Target::Stage stage = std::exchange(target_->stage, Target::Stage::Done);
    const std::shared_ptr<Connection> to = target_->connection.lock();
    if (stage == Target::Stage::Streaming && to != nullptr) to->leave();
}

void Responder::begin(std::uint16_t status, std::string_view content_type) const {
    CHECK(target_->stage == Target::Stage::Waiting);
    const std::shared_ptr<Connection> to = target_->connection.lock();
    const bool has_body = to != nullptr && to->begin(status, content_type);
    target_->stage = has_body ? Target::Stage::Streaming : Target::Stage::Done;
}

void Responder::part(std::string_view bytes) const {
    CHECK(target_->stage != Target::Stage::Waiting);
    const std::shared_ptr<Connection> to = target_->connection.lock();
    if (target_->stage == Target::Stage::Streaming && to != nullptr) to->part(bytes);
}

void Responder::end() const {
    CHECK(target_->stage != Target::Stage::Waiting);
    const Target::Stage stage = std::exchange(target_->stage, Target::Stage::Done);
    const std::shared_ptr<Connection> to = target_->connection.lock();
    if (stage == Target::Stage::Streaming && to != nullptr) to->end();
}

bool Responder::is_open() const {
    const std::shared_ptr<Connection> to = target_->connection.lock();
    return target_->stage != Target::Stage::Done && to != nullptr && to->is_open();
}

// --- Server --------------------------------------------------------------------------------------

struct Server::Inside {
    std::shared_ptr<House> house;
};

Server::Server(env::Env& env, ServerOptions options, Handler handler)
    : inside_(std::make_unique<Inside>()) {
    inside_->house = std::make_shared<House>(env, options, std::move(handler));
}

// The house lives on for as long as a handler of it is running.
Server::~Server() {
    const auto connections = std::move(inside_->house->connections);
    inside_->house->connections.clear();
    for (const auto& [id, connection] : connections) connection->leave();
}

void Server::accept(std::unique_ptr<env::Stream> stream) {
    House& house = *inside_->house;
    const std::size_t most = house.options.connections_max;
    if (house.connections.size() >= most + kTurnedAwayMax) return;
    const std::uint64_t id = house.next_id++;
    const auto connection = std::make_shared<Connection>(inside_->house, std::move(stream), id);
    house.connections.emplace(id, connection);
    connection->start();
    if (house.connections.size() > most)
        connection->refuse(503, unavailable("all connections are taken"));
}

}  // namespace thole::web
