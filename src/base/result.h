// Result<T>: a value or an Error, and TRY to pass the error on. No exceptions cross functions.
//
//     Result<Port> read_port(std::string_view text) {
//         const std::int64_t number = TRY(parse_integer(text, 1, 65535));
//         return Port(number);
//     }
//
// TRY is a statement expression: use it as a whole initialiser, statement or `return`, never inside
// braces (g++ 12 and clang 14 skip destructors of what was already built there).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace thole {

// What the caller can do about it. Maps once to an HTTP status and an exit code.
enum class Code {
    Invalid,      // The request is wrong; mend it.
    NotFound,     // There is no such thing.
    Conflict,     // Somebody else holds or changed it.
    Denied,       // Not allowed.
    Unavailable,  // Not now; trying again may help.
    Timeout,      // It took too long.
    Overload,     // A limit was reached.
    Corrupt,      // Stored or received bytes are damaged.
};

std::string_view name_of(Code code);

struct Error {
    Code code = Code::Invalid;
    std::string message;  // Names the thing and the act; lower case, no full stop.
    std::string hint;     // Empty, or a command or edit that helps: shown as `try: …`.

    // "what happened" or "what happened\n  try: this".
    std::string text() const;
    // Puts where it happened in front: "thole.yaml:3:5: unknown key".
    Error within(std::string_view place) &&;
    Error with_hint(std::string_view text) &&;
};

template <typename T>
class [[nodiscard]] Result {
public:
    Result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : content_(std::in_place_index<1>, std::move(error)) {}

    bool ok() const { return content_.index() == 0; }
    explicit operator bool() const { return ok(); }

    T& value() & {
        CHECK(ok());
        return *std::get_if<0>(&content_);
    }
    const T& value() const& {
        CHECK(ok());
        return *std::get_if<0>(&content_);
    }
    T&& value() && {
        CHECK(ok());
        return std::move(*std::get_if<0>(&content_));
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    Error& error() & {
        CHECK(!ok());
        return *std::get_if<1>(&content_);
    }
    const Error& error() const& {
        CHECK(!ok());
        return *std::get_if<1>(&content_);
    }
    Error&& error() && {
        CHECK(!ok());
        return std::move(*std::get_if<1>(&content_));
    }

    T value_or(T other) && { return ok() ? std::move(*this).value() : std::move(other); }

private:
    std::variant<T, Error> content_;
};

struct Success {};
using Status = Result<Success>;
inline Status success() { return Success{}; }

Error invalid(std::string message);
Error not_found(std::string message);
Error conflict(std::string message);
Error denied(std::string message);
Error unavailable(std::string message);
Error timed_out(std::string message);
Error overload(std::string message);
Error corrupt(std::string message);
// "open /x/y: No such file or directory"; the code follows the errno.
Error from_errno(int number, std::string_view act);

}  // namespace thole

#define TRY(expression)                                                         \
    __extension__({                                                             \
        auto thole_try_result = (expression);                                   \
        if (!thole_try_result.ok()) return std::move(thole_try_result).error(); \
        std::move(thole_try_result).value();                                    \
    })
