// Any bytes as the head of a request or response (the first byte chooses), or as one of a request
// that is read leniently. What must hold: a cut changes nothing, and what is accepted is written in
// a form that reads the same to the strict parser; who bends rules changes nothing where none is
// broken, and takes no more of the bytes.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "http/emit.h"
#include "http/head.h"
#include "http/mend.h"

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

void try_mending(std::string_view bytes, std::size_t cut) {
    static RequestHead strict;
    static RequestHead head;
    static RequestHead again;
    static std::string mended(kHeadBytesMax, '\0');
    static std::string room(4 * kHeadBytesMax, '\0');
    static std::string second(4 * kHeadBytesMax, '\0');
    RuleSet broken;
    const HeadResult part = mend_request_head(bytes.substr(0, cut), mended, head, broken);
    const HeadResult whole = mend_request_head(bytes, mended, head, broken);
    if (part.state != HeadState::NeedMore)
        CHECK(part.state == whole.state && part.rule == whole.rule && part.bytes == whole.bytes);
    const HeadResult right = parse_request_head(bytes, strict);
    // A head that fits its limits alone may not fit them as a copy.
    const bool is_long = whole.state == HeadState::Bad && whole.rule == Rule::HeadLong;
    if (right.state == HeadState::Done && !is_long) {
        CHECK(whole.state == HeadState::Done && whole.bytes == right.bytes && broken.is_empty());
        const auto size = emit(strict, room);
        CHECK(emit(head, second) == size);
        CHECK(!size || room.substr(0, *size) == second.substr(0, *size));
    }
    if (whole.state != HeadState::Done) return;
    CHECK(whole.bytes <= bytes.size() && (right.state == HeadState::Done || !broken.is_empty()));
    const auto size = emit(head, room);
    if (!size || *size > kHeadBytesMax || head.field_count > kFieldsMax - 4) return;
    const std::string_view written(room.data(), *size);
    CHECK(parse(written, again).bytes == written.size());
    CHECK(again.framing == head.framing && again.length == head.length);
    CHECK(emit(again, second) == size);
    CHECK(written == std::string_view(second.data(), *size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
    const std::size_t cut = data[1] * bytes.size() / 256;
    if ((data[0] & 2) != 0) {
        try_mending(bytes, cut);
    } else if ((data[0] & 1) == 0) {
        try_head<RequestHead>(bytes, cut);
    } else {
        try_head<ResponseHead>(bytes, cut);
    }
    return 0;
}
