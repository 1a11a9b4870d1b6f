#include "http/field.h"

#include <array>

#include "http/grammar.h"

namespace thole::http {
namespace {

struct KnownName {
    std::string_view name;
    Known known;
};

// By size.
constexpr std::array<KnownName, 20> kNames = {{
    {"te", Known::Te},
    {"via", Known::Via},
    {"host", Known::Host},
    {"expect", Known::Expect},
    {"trailer", Known::Trailer},
    {"upgrade", Known::Upgrade},
    {"forwarded", Known::Forwarded},
    {"x-real-ip", Known::Forwarded},
    {"connection", Known::Connection},
    {"keep-alive", Known::KeepAlive},
    {"tracestate", Known::Tracestate},
    {"traceparent", Known::Traceparent},
    {"grpc-timeout", Known::GrpcTimeout},
    {"x-request-id", Known::RequestId},
    {"authorization", Known::Authorization},
    {"content-length", Known::ContentLength},
    {"http2-settings", Known::Http2Settings},
    {"x-thole-attempt", Known::Attempt},
    {"transfer-encoding", Known::TransferEncoding},
    {"x-request-timeout-ms", Known::RequestTimeout},
}};

constexpr std::size_t kNameBytesMax = kNames.back().name.size();

// Where those of each size begin.
constexpr std::array<std::uint8_t, kNameBytesMax + 2> begins_of_sizes() {
    std::array<std::uint8_t, kNameBytesMax + 2> begins{};
    for (std::size_t size = 0; size < begins.size(); ++size) {
        std::size_t shorter = 0;
        while (shorter < kNames.size() && kNames[shorter].name.size() < size) ++shorter;
        begins[size] = static_cast<std::uint8_t>(shorter);
    }
    return begins;
}
constexpr auto kBegins = begins_of_sizes();

constexpr bool are_by_size() {
    for (std::size_t at = 1; at < kNames.size(); ++at) {
        if (kNames[at].name.size() < kNames[at - 1].name.size()) return false;
    }
    return true;
}
static_assert(are_by_size());

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

// Who has neither a '_' nor two '-' in a row is read as what it is.
bool may_be_twin(std::string_view name) {
    if (name.find('_') != std::string_view::npos) return true;
    for (std::size_t at = name.find('-'); at < name.size(); at = name.find('-', at + 1)) {
        if (name.substr(at + 1).starts_with('-')) return true;
    }
    return false;
}

}  // namespace

Known known_name(std::string_view name) {
    if (name.empty()) return Known::Other;
    const char first = to_lower(name.front());  // Tells most names apart, as their size does.
    if (name.size() <= kNameBytesMax) {
        for (std::size_t at = kBegins[name.size()]; at < kBegins[name.size() + 1]; ++at) {
            const KnownName& known = kNames[at];
            if (known.name.front() == first && same_name(known.name, name)) return known.known;
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
    if (!may_be_twin(name)) return false;
    const Known read = known_as_read(name);
    if (read == known_name(name)) return false;
    return read == Known::ContentLength || read == Known::TransferEncoding ||
           read == Known::Forwarded || read == Known::RequestId || read == Known::Http2Settings;
}

}  // namespace thole::http
