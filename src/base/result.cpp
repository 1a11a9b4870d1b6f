#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace thole {

std::string_view name_of(Code code) {
    switch (code) {
        case Code::Invalid: return "invalid";
        case Code::NotFound: return "not-found";
        case Code::Conflict: return "conflict";
        case Code::Denied: return "denied";
        case Code::Unavailable: return "unavailable";
        case Code::Timeout: return "timeout";
        case Code::Overload: return "overload";
        case Code::Corrupt: return "corrupt";
    }
    return "unknown";
}

std::string Error::text() const { return hint.empty() ? message : message + "\n  try: " + hint; }

Error Error::within(std::string_view place) && {
    message = std::string(place) + ": " + message;
    return std::move(*this);
}

Error Error::with_hint(std::string_view text) && {
    hint = text;
    return std::move(*this);
}

Error invalid(std::string message) { return {Code::Invalid, std::move(message), {}}; }
Error not_found(std::string message) { return {Code::NotFound, std::move(message), {}}; }
Error conflict(std::string message) { return {Code::Conflict, std::move(message), {}}; }
Error denied(std::string message) { return {Code::Denied, std::move(message), {}}; }
Error unavailable(std::string message) { return {Code::Unavailable, std::move(message), {}}; }
Error timed_out(std::string message) { return {Code::Timeout, std::move(message), {}}; }
Error overload(std::string message) { return {Code::Overload, std::move(message), {}}; }
Error corrupt(std::string message) { return {Code::Corrupt, std::move(message), {}}; }

namespace {

Code code_of(int number) {
    switch (number) {
        case ENOENT:
        case ESRCH:
        case ENODEV: return Code::NotFound;
        case EEXIST:
        case EADDRINUSE:
        case EBUSY:
        case ENOTEMPTY: return Code::Conflict;
        case EACCES:
        case EPERM:
        case EROFS: return Code::Denied;
        case EINVAL:
        case ENAMETOOLONG:
        case ENOTDIR:
        case EISDIR:
        case E2BIG: return Code::Invalid;
        case ETIMEDOUT: return Code::Timeout;
        case ENOSPC:
        case EDQUOT:
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case ENOBUFS: return Code::Overload;
        case EBADMSG: return Code::Corrupt;
        default:
            // The rest of errno: the outside is not as it should be. Also EIO: a disk that failed
            // once says nothing about what is on it.
            return Code::Unavailable;
    }
}

}  // namespace

Error from_errno(int number, std::string_view act) {
    return {code_of(number), std::string(act) + ": " + std::strerror(number), {}};
}

}  // namespace thole
