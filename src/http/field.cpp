#include "http/field.h"

#include <array>

#include "http/grammar.h"

namespace thole::http {
namespace {

struct KnownName {
    std::string_view name;
    Known known;
};

constexpr std::array<KnownName, 19> kNames = {{
    {"te", Known::Te},
    {"host", Known::Host},
    {"expect", Known::Expect},
    {"trailer", Known::Trailer},
    {"upgrade", Known::Upgrade},
    {"forwarded", Known::Forwarded},
    {"x-real-ip", Known::Forwarded},
    {"connection", Known::Connection},
    {"keep-alive", Known::KeepAlive},
    {"tracestate", Known::Tracestate},
    {"grpc-timeout", Known::GrpcTimeout},
    {"traceparent", Known::Traceparent},
    {"x-request-id", Known::RequestId},
    {"authorization", Known::Authorization},
    {"content-length", Known::ContentLength},
    {"http2-settings", Known::Http2Settings},
    {"x-thole-attempt", Known::Attempt},
    {"transfer-encoding", Known::TransferEncoding},
    {"x-request-timeout-ms", Known::RequestTimeout},
}};

// '_' as '-', and a run of them as one.
constexpr std::size_t kTwinBytesMax = 64;

std::string_view as_read_by_others(std::string_view name, std::array<char, kTwinBytesMax>& room) {
    std::size_t size = 0;
    for (const char c : name) {
        const bool is_joint = c == '-' || c == '_';
        if (is_joint && size > 0 && room[size - 1] == '-') continue;
        if (size == room.size()) return name;
        room[size++] = is_joint ? '-' : to_lower(c);
    }
    return {room.data(), size};
}

}  // namespace

Known known_name(std::string_view name) {
    if (name.empty()) return Known::Other;
    const char first = to_lower(name.front());  // Tells most names apart.
    for (const KnownName& known : kNames) {
        if (known.name.size() == name.size() && known.name.front() == first &&
            same_name(known.name, name)) {
            return known.known;
        }
    }
    if (first == 'x' && has_prefix(name, "x-forwarded-")) return Known::Forwarded;
    if (first == 'p' && has_prefix(name, "proxy-")) return Known::Proxy;
    return Known::Other;
}

Known known_as_read(std::string_view name) {
    std::array<char, kTwinBytesMax> room{};
    return known_name(as_read_by_others(name, room));
}

bool is_twin_of_trusted_name(std::string_view name) {
    if (name.find('_') == std::string_view::npos && name.find("--") == std::string_view::npos) {
        return false;
    }
    const Known read = known_as_read(name);
    if (read == known_name(name)) return false;
    return read == Known::ContentLength || read == Known::TransferEncoding ||
           read == Known::Forwarded || read == Known::RequestId || read == Known::Http2Settings;
}

}  // namespace thole::http
