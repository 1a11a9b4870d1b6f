#include "web/refusal.h"

#include <optional>

#include "base/json.h"
#include "web/server.h"

namespace thole::web {
namespace {

constexpr Code kCodes[] = {Code::Invalid,     Code::NotFound, Code::Conflict, Code::Denied,
                           Code::Unavailable, Code::Timeout,  Code::Overload, Code::Corrupt};

std::optional<Code> code_named(std::string_view name) {
    for (const Code code : kCodes) {
        if (name_of(code) == name) return code;
    }
    return std::nullopt;
}

std::optional<Error> read_refusal(std::string_view body) {
    const Result<Json> json = parse_json(body);
    const Json* error = json.ok() ? json->find("error") : nullptr;
    if (error == nullptr) return std::nullopt;
    const std::optional<Code> code = code_named(error->text_at("code").value_or({}));
    const Result<std::string> message = error->text_at("message");
    if (!code || !message.ok()) return std::nullopt;
    return Error{*code, *message, error->text_at("hint").value_or({})};
}

}  // namespace

std::string refusal_of(const Error& error) {
    JsonWriter json;
    json.begin_object().key("error").begin_object();
    json.member("code", name_of(error.code)).member("message", error.message);
    json.member("hint", error.hint).end_object().end_object();
    return json.take();
}

std::uint16_t status_of(Code code) {
    switch (code) {
        case Code::Invalid: return 400;
        case Code::NotFound: return 404;
        case Code::Conflict: return 409;
        case Code::Denied: return 403;
        case Code::Unavailable: return 503;
        case Code::Timeout: return 504;
        case Code::Overload: return 429;
        case Code::Corrupt: return 500;
    }
    return 500;
}

Error error_of(std::uint16_t status, std::string_view body) {
    const std::optional<Error> read = read_refusal(body);
    if (read) return *read;
    return unavailable("the answer is " + std::to_string(status) + " without a reason");
}

}  // namespace thole::web
