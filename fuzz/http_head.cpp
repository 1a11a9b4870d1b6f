// Any bytes as the head of a request or response (the first byte chooses). What must hold: a cut
// changes nothing, and what is accepted is written in a form that reads the same.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "http/emit.h"
#include "http/head.h"

namespace {

using namespace thole::http;

HeadResult parse(std::string_view bytes, RequestHead& head) {
    return parse_request_head(bytes, head);
}
HeadResult parse(std::string_view bytes, ResponseHead& head) {
    return parse_response_head(bytes, {.method = "GET", .upgrade = "websocket"}, head);
}
std::optional<std::size_t> emit(const RequestHead& head, std::span<char> to) {
    return emit_request_head(head, {.upgrade = head.upgrade}, to);
}
std::optional<std::size_t> emit(const ResponseHead& head, std::span<char> to) {
    return emit_response_head(head, {.upgrade = head.upgrade}, to);
}

template <typename Head>
void try_head(std::string_view bytes, std::size_t cut) {
    static Head head;
    static Head again;
    static std::string room(4 * kHeadBytesMax, '\0');
    static std::string second(4 * kHeadBytesMax, '\0');
    const HeadResult part = parse(bytes.substr(0, cut), head);
    const HeadResult whole = parse(bytes, head);
    if (part.state != HeadState::NeedMore) {
        CHECK(part.state == whole.state && part.rule == whole.rule && part.bytes == whole.bytes);
    }
    const std::size_t from = find_head_end(bytes.substr(0, cut), 0).bytes;
    if (part.state == HeadState::NeedMore) {
        CHECK(find_head_end(bytes, from).bytes == find_head_end(bytes, 0).bytes);
    }
    if (whole.state != HeadState::Done) return;
    CHECK(whole.bytes <= bytes.size());
    const auto size = emit(head, room);
    if (!size) return;  // An old request without a host.
    const std::string_view written(room.data(), *size);
    // The canonical form may be a little longer, and have Host, Connection, Upgrade, TE of its own.
    if (written.size() > kHeadBytesMax || head.field_count > kFieldsMax - 4) return;
    CHECK(parse(written, again).bytes == written.size());
    CHECK(emit(again, second) == size);
    CHECK(written == std::string_view(second.data(), *size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
    const std::size_t cut = data[1] * bytes.size() / 256;
    if ((data[0] & 1) == 0) {
        try_head<RequestHead>(bytes, cut);
    } else {
        try_head<ResponseHead>(bytes, cut);
    }
    return 0;
}
