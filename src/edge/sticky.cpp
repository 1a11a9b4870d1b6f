#include "edge/sticky.h"

#include <algorithm>
#include <cstring>

#include "http/grammar.h"

namespace thole::edge {
namespace {

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

// "a=1; b=2": what stands behind the name, or nothing.
std::string_view cookie_in(std::string_view pairs, std::string_view name) {
    while (!pairs.empty()) {
        const std::size_t end = std::min(pairs.find(';'), pairs.size());
        const std::string_view pair = pairs.substr(0, end);
        const std::size_t equals = pair.find('=');
        if (equals != pair.npos && trimmed(pair.substr(0, equals)) == name)
            return trimmed(pair.substr(equals + 1));
        pairs.remove_prefix(std::min(end + 1, pairs.size()));
    }
    return {};
}

}  // namespace

StickyKey sticky_key_of(const wire::SnapshotSticky& sticky) {
    StickyKey key{};
    key.by = sticky.by;
    key.bytes = static_cast<std::uint32_t>(std::min(sticky.name.size(), sizeof(key.name)));
    std::memcpy(key.name, sticky.name.data(), key.bytes);
    return key;
}

std::string_view key_of(const StickyKey& sticky, const http::RequestHead& head) {
    const std::string_view name(sticky.name, sticky.bytes);
    const bool is_cookie = sticky.by == wire::StickyBy::Cookie;
    if (sticky.by == wire::StickyBy::Nothing) return {};
    for (const http::Field& field : head.all()) {
        if (!http::same_name(field.name, is_cookie ? std::string_view("cookie") : name)) continue;
        const std::string_view value = is_cookie ? cookie_in(field.value, name) : field.value;
        if (!value.empty()) return value;
    }
    return {};
}

}  // namespace thole::edge
